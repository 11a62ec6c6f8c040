"""What a search tries: its arms, the records of its trials, and both as Optuna sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from kdray.plan.spaces import allows, is_whole
from kdray.spec.experiment import Method
from kdray.spec.space import Space

optuna.logging.set_verbosity(optuna.logging.ERROR)

#: State of a trial in our records -> in Optuna.
STATES = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
#: The study's parameter that names the arm of a trial.
ARM = "arm"


@dataclass(frozen=True)
class SearchArm:
    """A student, its teacher and a method, with what is searched of them.

    Args:
        slug: Its name in results.
        label: What people call it, unique in the job.
        student: Id of the student.
        teacher: Id of the teacher; None where the method needs none.
        method: The method, with the settings that are fixed.
        spaces: Setting -> space.
        defaults: The settings of its first trial, where they lie within the spaces.
        trials: Its trials on average; all combinations of a grid.
        costs: What the student costs, of what is kept low.
    """

    slug: str
    label: str
    student: str
    teacher: str | None
    method: Method
    spaces: Mapping[str, Space]
    defaults: Mapping[str, Any]
    trials: int
    costs: Mapping[str, float] = field(default_factory=dict)

    def allows(self, params: Mapping[str, Any]) -> bool:
        """Return whether the method takes the settings."""
        return allows(self.method, params)

    def first(self) -> dict[str, Any]:
        """Return the defaults that lie within the spaces."""
        return {
            key: value
            for key, value in self.defaults.items()
            if key in self.spaces and contains(self.spaces[key], value)
        }

    def named(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings by their names in the study: ``<method>/<setting>``."""
        return {self._name(key): value for key, value in params.items()}

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the spaces as Optuna's, by their names in the study."""
        return {self._name(key): distribution(space) for key, space in self.spaces.items()}

    def plain(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings of the study by their own names; the arm's alone, in order."""
        return {key: params[self._name(key)] for key in self.spaces}

    def _name(self, key: str) -> str:
        return key if key == "learning_rate" else f"{self.method.name}/{key}"


@dataclass(frozen=True)
class Record:
    """A trial as it is kept.

    Args:
        number: Its place in the study, from 0; unique over the arms.
        arm: Slug of its arm.
        params: Its settings.
        values: Validation score after each epoch.
        score: Its best value; None while it runs and when it failed.
        state: ``running``, ``complete``, ``pruned`` or ``failed``.
        costs: What its student costs.
        seconds: How long it took, since its last start.
        attrs: What sampler and scheduler noted of it.
        error: Why it failed.
    """

    number: int
    arm: str
    params: dict[str, Any]
    values: list[float] = field(default_factory=list)
    score: float | None = None
    state: str = "running"
    costs: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    attrs: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def closed(record: Record, values: Sequence[float], state: str, error: str, select: str) -> Record:
    """Return the record of a trial that is over; without a number as score it has failed."""
    scores = [value for value in values if math.isfinite(value)]
    if state != "failed" and not scores:
        state = "failed"
        error = "its scores are no numbers" if values else "it reported no score"
    score = None
    if state != "failed":
        score = min(scores) if select == "loss" else max(scores)
    return replace(record, values=list(values), score=score, state=state, error=error)


def best_of(records: Sequence[Record], select: str) -> Record | None:
    """Return the best trial that ran to its end; the earlier one of equals."""
    scored = [item for item in records if item.score is not None]
    done = [item for item in scored if item.state == "complete"] or scored
    sign = 1.0 if select == "loss" else -1.0
    return min(done, key=lambda item: (sign * (item.score or 0.0), item.number), default=None)


def pareto_of(records: Sequence[Record], select: str) -> list[Record]:
    """Return the trials that no other beats in all of score and costs, the best score first.

    Of trials with equal score and costs the first counts.
    """
    scored = sorted((r for r in records if r.score is not None), key=lambda item: item.number)
    if not scored:
        return []
    sign = 1.0 if select == "loss" else -1.0
    points = np.array([[sign * (item.score or 0.0), *item.costs.values()] for item in scored])
    front = []
    for index, point in enumerate(points):
        no_worse = (points <= point).all(axis=1)
        better = no_worse & (points < point).any(axis=1)
        same_before = (points[:index] == point).all(axis=1).any()
        if not better.any() and not same_before:
            front.append(scored[index])
    return sorted(front, key=lambda item: (sign * (item.score or 0.0), item.number))


def directions(select: str, against: Sequence[str]) -> list[StudyDirection]:
    """Return which way score and costs are to go."""
    score = StudyDirection.MINIMIZE if select == "loss" else StudyDirection.MAXIMIZE
    return [score, *(StudyDirection.MINIMIZE for _ in against)]


def frozen(
    record: Record, arm: SearchArm, labels: Sequence[str], against: Sequence[str]
) -> FrozenTrial:
    """Return a record as a trial of the study over all arms.

    Args:
        record: The trial.
        arm: Its arm.
        labels: Labels of all arms.
        against: Costs that are objectives beside the score.
    """
    state = STATES[record.state]
    values = None
    if state == TrialState.COMPLETE and record.score is not None:
        values = [record.score, *(record.costs[name] for name in against)]
    return create_trial(
        state=state,
        values=values,
        params={ARM: arm.label, **arm.named(record.params)},
        distributions={ARM: CategoricalDistribution(labels), **arm.distributions()},
        intermediate_values=dict(enumerate(record.values, 1)),
        system_attrs=record.attrs,
        user_attrs={"number": record.number, **record.costs},
    )


def distribution(space: Space) -> BaseDistribution:
    """Return a space as Optuna's."""
    if space.choices:
        return CategoricalDistribution(space.choices)
    low, high = float(space.min or 0.0), float(space.max or 0.0)
    if space.step is not None and is_whole(space):
        return IntDistribution(int(low), int(high), step=int(space.step))
    return FloatDistribution(low, high, log=space.log, step=space.step)


def contains(space: Space, value: Any) -> bool:
    """Return whether a value lies within a space."""
    if space.choices:
        return value in space.choices
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and bool(distribution(space)._contains(float(value)))
