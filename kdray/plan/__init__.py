"""A job to a plan: its steps with their keys; pure, without clock, disk or Ray."""

from kdray.plan.arms import arms_of, takes_maps
from kdray.plan.make import make_plan
from kdray.plan.read import experiments_of, read_job, read_work
from kdray.plan.steps import Arm, ArmSteps, Plan, Step

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
    "takes_maps",
]
