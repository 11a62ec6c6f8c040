"""The data sets of a job: one, or those of a suite, each once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from kdray.cli._output import console
from kdray.errors import JobError
from kdray.plan import experiments_of, read_work
from kdray.spec.experiment import Experiment
from kdray.spec.problem import nearest
from kdray.spec.suite import Suite

#: ``--experiment`` of the commands on a job's data.
Chosen = Annotated[
    str | None,
    typer.Option("--experiment", help="Of a suite: this experiment's images alone."),
]


@dataclass(frozen=True)
class DataSet:
    """A ``data`` section of a job.

    Args:
        job: The experiment that it is taken from.
        experiments: Names of the suite's experiments with this very section; empty where the job
            is no suite or one experiment was asked for.
    """

    job: Experiment
    experiments: tuple[str, ...] = ()

    def said(self) -> dict[str, list[str]]:
        """Return which experiments it stands for, as JSON has it; nothing for one alone."""
        return {"experiments": list(self.experiments)} if self.experiments else {}

    def print_heading(self) -> None:
        """Print which experiments it stands for; nothing for one alone."""
        if self.experiments:
            source = self.job.data.source.name
            console.print(f"{source}: {', '.join(self.experiments)}", highlight=False)


def data_sets(
    file: str, sets: list[str] | None = None, experiment: str | None = None
) -> list[DataSet]:
    """Return the distinct data sections of a job file, in its order.

    Args:
        file: Path of the YAML file.
        sets: Overrides ``path.to.field=value``.
        experiment: Name of the only experiment of a suite that is wanted; None: all.

    Raises:
        JobError: The file holds neither an experiment nor a suite, or no such experiment.
    """
    work = read_work(file, sets)
    jobs = experiments_of(work)
    names = [item.name for item in work.experiments] if isinstance(work, Suite) else []
    if experiment is not None:
        return [DataSet(jobs[_place(file, experiment, names)])]
    if not names:
        return [DataSet(jobs[0])]
    found: list[DataSet] = []
    for name, job in zip(names, jobs, strict=True):
        same = [place for place, item in enumerate(found) if item.job.data == job.data]
        if same:
            item = found[same[0]]
            found[same[0]] = DataSet(item.job, (*item.experiments, name))
        else:
            found.append(DataSet(job, (name,)))
    return found


def _place(file: str, experiment: str, names: list[str]) -> int:
    if not names:
        raise JobError(file, "is no suite: it has no experiments.", "Leave out --experiment.")
    if experiment not in names:
        remedy = nearest(experiment, names, listed="Its experiments")
        raise JobError(file, f"has no experiment called {experiment!r}.", remedy)
    return names.index(experiment)
