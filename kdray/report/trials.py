"""The trials of a job's search, as tables and plots need them; of older results as well."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdray.report.cells import number
from kdray.report.facts import Results

Space = Mapping[str, Any]

#: State of a trial -> how a reader is told.
STATES = {"complete": "finished", "pruned": "stopped early", "failed": "failed"}
#: A range whose ends are so many times apart is drawn on a logarithmic axis.
WIDE = 20.0
#: Fewer finished trials say nothing of what mattered.
FEWEST = 4


@dataclass(frozen=True)
class Trial:
    """One trial.

    Args:
        number: Its number in the study; counted over the arms where older results count each arm.
        arm: Label of its arm.
        student: Id of the student.
        teacher: Id of the teacher or the ensemble; None without one.
        method: Name of the method.
        params: Its settings, the learning rate among them.
        score: Best validation score; None where there is none.
        epochs: Epochs that it ran.
        state: A key of ``STATES``.
        costs: Cost of its student -> value.
    """

    number: int
    arm: str
    student: str
    teacher: str | None
    method: str
    params: Mapping[str, Any]
    score: float | None
    epochs: int
    state: str
    costs: Mapping[str, float]

    @property
    def complete(self) -> bool:
        """Whether it ran to its end and has a score."""
        return self.state == "complete" and self.score is not None

    @property
    def value(self) -> float:
        """The score as a number; NaN where there is none."""
        return math.nan if self.score is None else self.score


def trials_of(results: Results) -> list[Trial]:
    """Return all trials of a job, in the order of the study."""
    searches = results.get("searches") or ()
    numbers = [trial["number"] for search in searches for trial in search["trials"]]
    unique = len(set(numbers)) == len(numbers)
    found: list[Trial] = []
    for search in searches:
        for trial in search["trials"]:
            found.append(_trial(search, trial, trial["number"] if unique else len(found)))
    return sorted(found, key=lambda trial: trial.number)


def lower_is_better(results: Results) -> bool:
    """Return whether the score that the job searched for is a loss."""
    return bool(results["select"] == "loss")


def best_of(trials: Sequence[Trial], *, lower: bool) -> Trial | None:
    """Return the best trial that ran to its end, or else the best of all; the first of equals."""
    scored = [trial for trial in trials if trial.score is not None]
    done = [trial for trial in scored if trial.complete] or scored
    sign = 1.0 if lower else -1.0
    return min(done, key=lambda trial: (sign * trial.value, trial.number), default=None)


def by_method(results: Results) -> dict[str, list[Trial]]:
    """Return the trials of each method that has some, in the order of the results."""
    found: dict[str, list[Trial]] = {search["method"]: [] for search in results["searches"]}
    for trial in trials_of(results):
        found[trial.method].append(trial)
    return {method: trials for method, trials in found.items() if trials}


def spaces_of(results: Results, trials: Sequence[Trial]) -> dict[str, Space]:
    """Return the space of each setting that all these trials have.

    Older results do not keep the spaces: there, they reach as far as the trials did.
    """
    arms = {trial.arm for trial in trials}
    given: dict[str, Space] = {}
    for search in results.get("searches") or ():
        if search["label"] in arms:
            given.update(search.get("spaces") or {})
    found = Counter(name for trial in trials for name in trial.params)
    names = [name for name, times in found.items() if times == len(trials)]
    return {name: given.get(name) or _seen(name, trials) for name in names}


def _trial(search: Mapping[str, Any], trial: Mapping[str, Any], place: int) -> Trial:
    costs = {key: number(value) for key, value in (trial.get("costs") or {}).items()}
    return Trial(
        number=place,
        arm=search["label"],
        student=search["student"],
        teacher=search.get("teacher"),
        method=search["method"],
        params=trial["params"],
        score=number(trial.get("score")),
        epochs=len(trial.get("values") or ()),
        state=trial["state"],
        costs={key: value for key, value in costs.items() if value is not None},
    )


def _seen(name: str, trials: Sequence[Trial]) -> Space:
    values = [trial.params[name] for trial in trials]
    numbers = [value for value in map(number, values) if value is not None]
    if len(numbers) < len(values):
        return {"choices": sorted(set(values), key=str)}
    low, high = min(numbers), max(numbers)
    return {"min": low, "max": high, "log": low > 0 and high / low >= WIDE}
