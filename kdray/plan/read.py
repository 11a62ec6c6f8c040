"""A job file with every name and setting checked, parts included."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from kdray import parts
from kdray.errors import JobError
from kdray.plan.spaces import check_searches
from kdray.spec import Experiment, Service, Suite, load_job


def read_job(
    file: str | os.PathLike[str],
    sets: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Experiment | Service | Suite:
    """Return the job of a file, its parts checked.

    Args:
        file: Path of the YAML file.
        sets: Overrides ``path.to.field=value``.
        env: Values for ``${NAME}``; None: the process's environment.

    Raises:
        JobErrors: Every problem of the file, with line, column and remedy.
    """
    job = load_job(file, sets or (), env, parts.check)
    if not isinstance(job, Service):
        for experiment in experiments_of(job):
            check_searches(experiment)
    return job


def read_work(
    file: str | os.PathLike[str], sets: Sequence[str] | None = None
) -> Experiment | Suite:
    """Return what a file asks to run: an experiment, or a suite of them.

    Raises:
        JobError: The file holds another kind of job.
    """
    job = read_job(file, sets)
    if isinstance(job, Service):
        raise JobError(str(file), "is a Service, not an Experiment.", "Use `kdray serve` for it.")
    return job


def experiments_of(job: Experiment | Suite) -> tuple[Experiment, ...]:
    """Return the experiments of a job: itself, or those of the suite."""
    return job.expanded() if isinstance(job, Suite) else (job,)
