"""``kdray plan``: what a job will do, and what is done already."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer

from kdray.cli._fit import fit_facts, show_fits
from kdray.cli._jobs import To
from kdray.cli._output import Json, Sets, SpecFile, console, err, print_json, print_table
from kdray.cli._records import show_records
from kdray.errors import DataError, LaunchError, NeverFits, StoreError
from kdray.launch.fit import StageFit, check_fit
from kdray.launch.order import make_order
from kdray.launch.targets import DEFAULT, find_target
from kdray.plan import Plan, Step, experiments_of, read_work
from kdray.plan.read import read_job
from kdray.spec import Experiment, Service, Suite, Target
from kdray.spec.target import Local
from kdray.store import Store


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def plan(spec: SpecFile, sets: Sets = None, to: To = None, as_json: Json = False) -> None:
        """Show the steps of a job: what is done, what will run, how large it is.

        With a target, also what each stage asks of it at once, and which nodes that brings up;
        what can never be scheduled there is refused.
        """
        said = to or os.environ.get(DEFAULT)
        if said is None:
            _tell(read_work(spec, sets), as_json, None)
            return
        target = find_target(said)
        job = read_job(spec, make_order(spec, sets, target).sets)
        _tell(job, as_json, _place(job, target))


@dataclass(frozen=True)
class _Place:
    """A target with what a job finds there, or why that is not known."""

    target: Target
    fits: Sequence[StageFit] = ()
    problem: str = ""

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**fit_facts(self.fits, self.target), "problem": self.problem}

    def show(self) -> None:
        """Print it."""
        if self.fits:
            show_fits(self.fits, self.target)
        if self.problem:
            console.print(f"On {self.target.name}: {self.problem}", markup=False, highlight=False)


def _place(job: Experiment | Suite | Service, target: Target) -> _Place:
    """Return what a job finds at a target.

    Raises:
        NeverFits: It can never be scheduled there.
    """
    try:
        return _Place(target, check_fit(job, target))
    except NeverFits:
        raise
    except LaunchError as error:  # a cluster that is down is no reason to hide the steps
        return _Place(target, problem=str(error))


def _tell(job: Experiment | Suite | Service, as_json: bool, place: _Place | None) -> None:
    """Print the plans of a job, and what it finds at a place."""
    shown: list[dict[str, Any]] = []
    with _steps_told(place):
        for made in [] if isinstance(job, Service) else _plans(job):
            if as_json:
                shown.append(_whole(made))
            else:
                _show(made)
    if as_json:
        facts = {} if place is None else {"target": place.facts()}
        print_json({**_joined(job, shown), **facts})
    elif place is not None:
        place.show()


def _joined(job: Experiment | Suite | Service, shown: list[dict[str, Any]]) -> dict[str, Any]:
    if isinstance(job, Suite):
        return {"suite": job.name, "jobs": shown}
    return shown[0] if shown else {"job": job.name, "steps": []}


def _plans(job: Experiment | Suite) -> list[Plan]:
    from kdray.run.job import plan_jobs  # imports torch

    return plan_jobs(experiments_of(job))


@contextmanager
def _steps_told(place: _Place | None) -> Iterator[None]:
    """Tell why a job's steps are not known where only the place has its images or storage."""
    try:
        yield
    except (DataError, StoreError) as error:
        if place is None or isinstance(place.target.place, Local):
            raise
        err(f"{error} So its steps cannot be told here.")


def _whole(plan: Plan) -> dict[str, Any]:
    from kdray.run.forecast import forecast
    from kdray.run.job import states

    store = Store(plan.job.storage.uri)
    records = forecast(plan, store)
    return {
        "job": plan.job.name,
        "storage": store.uri,
        "steps": [
            {**_facts(step, state, store), **records.get(step.id, {})}
            for step, state in states(plan, store)
        ],
        "totals": _totals(plan, store),
    }


def _show(plan: Plan) -> None:
    from kdray.run.forecast import forecast
    from kdray.run.job import states

    store = Store(plan.job.storage.uri)
    rows = states(plan, store)
    table = [(step.kind, step.label, _size(step), state, step.key) for step, state in rows]
    print_table(f"Job {plan.job.name}", ("step", "what", "size", "state", "key"), table)
    show_records(forecast(plan, store))
    totals = _totals(plan, store)
    console.print(
        f"{totals['done']} of {totals['steps']} steps done. Left: {totals['epochs']} epochs"
        f"{_images(totals)}. Storage: {store.uri}",
        highlight=False,
    )


def _facts(step: Step, state: str, store: Store) -> dict[str, Any]:
    return {
        "id": step.id,
        "kind": step.kind,
        "label": step.label,
        "key": step.key,
        "state": state,
        "needs": list(step.needs),
        "path": f"{store.uri}/{step.path}",
        **step.facts,
    }


def _size(step: Step) -> str:
    return ", ".join(
        f"{name} {'+'.join(value) if isinstance(value, list) else value}".replace("_", " ")
        for name, value in step.facts.items()
    )


def _totals(plan: Plan, store: Store) -> dict[str, Any]:
    """Return how much is left: steps, and at most so many epochs and images."""
    missing = [step for step in plan.steps() if store.result(step.path) is None]
    epochs = sum(
        int(step.facts.get("epochs", 0)) * int(step.facts.get("trials", 1)) for step in missing
    )
    prepared = store.result(plan.prepare.path)
    images = sum(prepared["counts"]["train"].values()) if prepared else None
    return {
        "steps": len(plan.steps()),
        "done": len(plan.steps()) - len(missing),
        "epochs": epochs,
        "train_images": images,
    }


def _images(totals: dict[str, Any]) -> str:
    if totals["train_images"] is None:
        return " at most"
    return f" of {totals['train_images']} images at most"
