"""One search as an Optuna study that can be rebuilt from its finished trials."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from kdray.spec.experiment import Search
from kdray.spec.space import Space

optuna.logging.set_verbosity(optuna.logging.ERROR)

#: State of a trial in our records -> in Optuna.
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(frozen=True)
class Record:
    """A finished trial.

    Args:
        number: Its place in the study, from 0.
        params: Its settings.
        values: Validation score after each epoch.
        score: Its best value; None when it failed.
        state: ``complete``, ``pruned`` or ``failed``.
        rungs: What successive halving noted of it.
        error: Why it failed.
    """

    number: int
    params: dict[str, Any]
    values: list[float]
    score: float | None
    state: str
    rungs: dict[str, float]
    error: str = ""


class Study:
    """A search over one arm's spaces, whose next trial depends only on the trials before it.

    The sampler is seeded anew for each trial from the study's seed and the trial's number, so a
    study that is rebuilt from records asks for the same trial as one that was never interrupted.

    Args:
        name: Distinguishes the seeds of the studies of a job.
        spaces: Setting -> space.
        defaults: The settings of trial 0, where they lie within the spaces.
        search: Sampler, scheduler and seed.
        select: The score; a loss is minimised, others are maximised.
    """

    def __init__(
        self,
        name: str,
        spaces: Mapping[str, Space],
        defaults: Mapping[str, Any],
        search: Search,
        select: str,
    ) -> None:
        self._name = name
        self._search = search
        self._distributions = {key: _distribution(space) for key, space in spaces.items()}
        self._defaults = {
            key: value
            for key, value in defaults.items()
            if key in spaces and _contains(self._distributions[key], value)
        }
        self.records: dict[int, Record] = {}
        self._open: dict[int, optuna.Trial] = {}
        self._values: dict[int, list[float]] = {}
        self._study = optuna.create_study(
            direction="minimize" if select == "loss" else "maximize",
            pruner=_pruner(search),
            sampler=optuna.samplers.RandomSampler(seed=0),
        )

    def restore(self, records: Sequence[Record]) -> None:
        """Add trials that finished before an interruption: the unbroken run of the first ones."""
        for record in sorted(records, key=lambda item: item.number):
            if record.number == len(self.records):
                self._study.add_trial(self._frozen(record))
                self.records[record.number] = record

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Return number and settings of the next trial."""
        number = len(self._study.trials)
        self._study.sampler = self._sampler(number)
        if number == 0 and self._defaults:
            self._study.enqueue_trial(self._defaults)
        trial = self._study.ask(self._distributions)
        self._open[trial.number] = trial
        self._values[trial.number] = []
        return trial.number, dict(trial.params)

    def seen(self, number: int) -> int:
        """Return how many epochs of an open trial have been reported."""
        return len(self._values[number])

    def report(self, number: int, epoch: int, value: float, *, last: bool = False) -> bool:
        """Take the score of an epoch (from 1), and return whether the trial should stop.

        Args:
            number: The trial.
            epoch: The epoch.
            value: Its score.
            last: Whether it is the trial's last epoch, after which there is nothing to save.
        """
        trial = self._open[number]
        self._values[number].append(value)
        trial.report(value, epoch)
        return not last and bool(trial.should_prune())

    def tell(self, number: int, state: str, error: str = "") -> Record:
        """Close a trial and return its record."""
        trial, values = self._open.pop(number), self._values.pop(number)
        if not values and state != "failed":
            state, error = "failed", "it reported no score"
        score = None if state == "failed" else self._best(values)
        self._study.tell(trial, score if state == "complete" else None, state=STATES[state])
        frozen = self._study.trials[number]
        rungs = {key: item for key, item in frozen.system_attrs.items() if "rung" in key}
        record = Record(number, dict(frozen.params), values, score, state, rungs, error)
        self.records[number] = record
        return record

    def best(self) -> Record | None:
        """Return the best trial that ran to its end; the earlier one of equals."""
        done = [item for item in self.records.values() if item.state == "complete"]
        done = done or [item for item in self.records.values() if item.score is not None]
        if not done:
            return None
        sign = 1.0 if self._study.direction == optuna.study.StudyDirection.MINIMIZE else -1.0
        return min(done, key=lambda item: (sign * (item.score or 0.0), item.number))

    def _best(self, values: Sequence[float]) -> float:
        minimize = self._study.direction == optuna.study.StudyDirection.MINIMIZE
        return min(values) if minimize else max(values)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        text = f"{self._search.seed}/{self._name}/{number}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        if self._search.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.TPESampler(
            seed=seed,
            multivariate=True,
            n_startup_trials=max(3, self._search.trials // 4),
            constant_liar=self._search.concurrent > 1,
        )

    def _frozen(self, record: Record) -> FrozenTrial:
        state = STATES[record.state]
        return create_trial(
            params=record.params,
            distributions=self._distributions,
            value=record.score if state == TrialState.COMPLETE else None,
            intermediate_values={epoch: value for epoch, value in enumerate(record.values, 1)},
            system_attrs=record.rungs,
            state=state,
        )


def _distribution(space: Space) -> BaseDistribution:
    if space.choices:
        return CategoricalDistribution(space.choices)
    low, high = float(space.min or 0.0), float(space.max or 0.0)
    if space.step is not None and all(float(end).is_integer() for end in (low, high, space.step)):
        return IntDistribution(int(low), int(high), step=int(space.step))
    return FloatDistribution(low, high, log=space.log, step=space.step)


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return isinstance(value, int | float) and distribution._contains(float(value))


def _pruner(search: Search) -> optuna.pruners.BasePruner:
    if search.scheduler == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=search.grace_epochs, reduction_factor=search.reduction_factor
    )
