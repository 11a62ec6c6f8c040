"""What the user wrote: YAML to strict, frozen models, every problem with file and line."""

from kdray.spec.experiment import Experiment
from kdray.spec.load import load_job, parse_job
from kdray.spec.problem import Problem
from kdray.spec.schema import json_schema
from kdray.spec.service import Service
from kdray.spec.suite import Suite

__all__ = ["Experiment", "Problem", "Service", "Suite", "json_schema", "load_job", "parse_job"]
