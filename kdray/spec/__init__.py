"""What the user wrote: YAML to strict, frozen models, every problem with file and line."""

from kdray.spec.experiment import Experiment
from kdray.spec.load import is_target, load_job, load_target, parse_job
from kdray.spec.problem import Problem
from kdray.spec.schema import json_schema
from kdray.spec.service import Service
from kdray.spec.suite import Suite
from kdray.spec.target import Target

__all__ = [
    "Experiment",
    "Problem",
    "Service",
    "Suite",
    "Target",
    "is_target",
    "json_schema",
    "load_job",
    "load_target",
    "parse_job",
]
