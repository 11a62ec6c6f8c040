"""Which settings a search tries next: Optuna's samplers over what was tried so far."""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from kdray.errors import RunError
from kdray.plan.spaces import draw
from kdray.run.trials import ARM, Record, SearchArm, directions, frozen
from kdray.spec.experiment import Search

#: So often the sampler may propose what a method refuses, then settings are drawn evenly.
_PROPOSALS = 20
_DRAWS = 2000


class Proposer:
    """Proposes settings; a proposal depends only on the trials that are shown and the number.

    Args:
        arms: All arms.
        search: Sampler, its seed, and the costs that count.
        select: The score; a loss is minimised, others are maximised.
    """

    def __init__(self, arms: Sequence[SearchArm], search: Search, select: str) -> None:
        self._arms = {arm.slug: arm for arm in arms}
        self._labels = [arm.label for arm in arms]
        self._search = search
        self._select = select

    def within(
        self, arm: SearchArm, number: int, tried: Sequence[Record], given: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return settings of one arm, and what the sampler notes of them.

        Only the arm's own trials count, for its student may be far weaker than others: a good
        trial of it would be a bad one among all. The population of a genetic algorithm is whole.

        Args:
            arm: The arm.
            number: Number of the trial.
            tried: Trials so far, running ones too.
            given: Settings that are given, such as the method's defaults.
        """
        whole = self._search.sampler == "nsga2"
        shown = tried if whole else [item for item in tried if item.arm == arm.slug]
        study = self._study(shown, self._search.against if whole else ())
        found = self._ask(study, number, arm, {ARM: arm.label, **arm.named(given)})
        if found is not None:
            return found[1:]
        numbers = random.Random(f"{self._search.seed}/{arm.slug}/{number}")
        for _ in range(_DRAWS):
            params = {**draw(arm.spaces, numbers), **given}
            if arm.allows(params):
                return params, {}
        raise RunError(
            arm.label,
            f"the method refuses {_PROPOSALS + _DRAWS} settings drawn from its spaces.",
            "Narrow its spaces under `search` to what it takes.",
        )

    def anywhere(
        self, number: int, tried: Sequence[Record]
    ) -> tuple[SearchArm, dict[str, Any], dict[str, Any]]:
        """Return the arm that promises most, settings, and what the sampler notes of them."""
        study = self._study(tried, self._search.against)
        found = self._ask(study, number, None, {})
        if found is not None:
            return found
        arm = random.Random(f"{self._search.seed}/{number}").choice(list(self._arms.values()))
        return (arm, *self.within(arm, number, tried, {}))

    def _study(self, tried: Sequence[Record], against: Sequence[str]) -> optuna.Study:
        study = optuna.create_study(
            directions=directions(self._select, against),
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
        )
        for record in tried:
            if record.state == "failed":
                continue
            if against and record.state == "pruned":
                record = replace(record, state="complete")
            study.add_trial(frozen(record, self._arms[record.arm], self._labels, against))
        return study

    def _ask(
        self, study: optuna.Study, number: int, arm: SearchArm | None, given: Mapping[str, Any]
    ) -> tuple[SearchArm, dict[str, Any], dict[str, Any]] | None:
        """Return what the sampler proposes, or None if the methods refuse it again and again."""
        by_label = {item.label: item for item in self._arms.values()}
        for proposal in range(_PROPOSALS):
            study.sampler = self._sampler(f"{number}/{proposal}" if proposal else str(number))
            if given:
                study.enqueue_trial(dict(given))
            trial = study.ask()
            chosen = by_label[trial.suggest_categorical(ARM, self._labels)]
            named = {name: _suggest(trial, name, d) for name, d in chosen.distributions().items()}
            params = chosen.plain(named)
            if chosen.allows(params):
                return chosen, params, _notes(study, trial)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return None

    def _sampler(self, name: str) -> optuna.samplers.BaseSampler:
        search = self._search
        text = f"{search.seed}/{name}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        if search.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        if search.sampler == "nsga2":
            total = sum(arm.trials for arm in self._arms.values())
            return optuna.samplers.NSGAIISampler(
                seed=seed, population_size=max(4, min(50, total // 5))
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                seed=seed,
                multivariate=True,
                group=True,
                n_startup_trials=max(3, search.trials // 4),
                constant_liar=search.concurrent != 1,
            )


def _suggest(trial: optuna.Trial, name: str, space: BaseDistribution) -> Any:
    if isinstance(space, CategoricalDistribution):
        return trial.suggest_categorical(name, space.choices)
    if isinstance(space, IntDistribution):
        return trial.suggest_int(name, space.low, space.high, step=space.step)
    assert isinstance(space, FloatDistribution)
    return trial.suggest_float(name, space.low, space.high, step=space.step, log=space.log)


def _notes(study: optuna.Study, trial: optuna.Trial) -> dict[str, Any]:
    """Return the generation of a genetic algorithm's trial: its next trials depend on it."""
    attrs = study.get_trials(deepcopy=False)[trial.number].system_attrs
    return {key: value for key, value in attrs.items() if key.endswith(":generation")}
