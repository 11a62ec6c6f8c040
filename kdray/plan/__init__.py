"""A job to a plan: its steps with their keys; pure, without clock, disk or Ray."""

from kdray.plan.read import read_job

__all__ = ["read_job"]
