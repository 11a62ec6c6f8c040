"""Which trials are stopped early: Optuna's pruners, each arm judged by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from kdray.run.trials import STATES, Record, SearchArm, directions
from kdray.spec.experiment import Search


class Pruning:
    """A study for each arm, of scores alone: no student is measured against a stronger one.

    Args:
        arms: The arms.
        search: The scheduler and its settings.
        select: The score; a loss is minimised, others are maximised.
        epochs: Epochs of a trial.
    """

    def __init__(
        self, arms: Sequence[SearchArm], search: Search, select: str, epochs: int
    ) -> None:
        self._studies = {
            arm.slug: optuna.create_study(
                study_name=arm.slug,
                directions=directions(select, ()),
                sampler=optuna.samplers.RandomSampler(seed=0),
                pruner=_pruner(search, epochs),
            )
            for arm in arms
        }
        self._open: dict[int, tuple[optuna.Study, optuna.Trial]] = {}

    def restore(self, record: Record) -> None:
        """Add a trial that finished before an interruption."""
        state = STATES[record.state]
        study = self._studies[record.arm]
        study.add_trial(
            create_trial(
                state=state,
                value=record.score if state == TrialState.COMPLETE else None,
                intermediate_values=dict(enumerate(record.values, 1)),
                system_attrs=_rungs(record.attrs),
            )
        )

    def open(self, record: Record) -> None:
        """Begin a trial."""
        study = self._studies[record.arm]
        self._open[record.number] = (study, study.ask())

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Take the score of an epoch, and return whether the trial should stop."""
        _, trial = self._open[number]
        trial.report(value, epoch)
        return bool(trial.should_prune())

    def close(self, record: Record) -> dict[str, Any]:
        """End a trial, and return what the pruner noted of it."""
        study, trial = self._open.pop(record.number)
        state = STATES[record.state]
        study.tell(trial, record.score if state == TrialState.COMPLETE else None, state=state)
        return _rungs(study.get_trials(deepcopy=False)[trial.number].system_attrs)


def _rungs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attrs.items() if "rung" in key}


def _pruner(search: Search, epochs: int) -> optuna.pruners.BasePruner:
    if search.scheduler == "none":
        return optuna.pruners.NopPruner()
    if search.scheduler == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=max(3, search.trials // 4), n_warmup_steps=search.grace_epochs
        )
    if search.scheduler == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=min(search.grace_epochs, epochs),
            max_resource=epochs,
            reduction_factor=search.reduction_factor,
        )
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=search.grace_epochs, reduction_factor=search.reduction_factor
    )
