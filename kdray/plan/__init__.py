"""A job to a plan: its steps with their keys; pure, without clock, disk or Ray."""

from kdray.plan.make import Arm, ArmSteps, Plan, Step, arms_of, make_plan
from kdray.plan.read import experiments_of, read_job, read_work

__all__ = [
    "Arm",
    "ArmSteps",
    "Plan",
    "Step",
    "arms_of",
    "experiments_of",
    "make_plan",
    "read_job",
    "read_work",
]
