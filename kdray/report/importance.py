"""How much of a search's spread in scores each choice explains (fANOVA, Hutter et al., 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kdray.report.trials import FEWEST, Space, Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

#: The forest that is taken apart: the shares are those of deeper forests to a few hundredths, in
#: time that grows with the number of trials, not with its square.
_TREES, _DEPTH = 32, 6
#: Choices of the arm, beside the method's settings.
ARM = ("student", "teacher", "method")


def importances(
    trials: Sequence[Trial], spaces: Mapping[str, Space], *, lower: bool
) -> dict[str, float] | None:
    """Return the share of each choice in the variance of the scores, largest first.

    Shares are the main effects in a random forest over the finished trials, divided by their sum,
    as Optuna's fANOVA gives them. The student, the teacher and the method count as choices where
    the trials have several.

    Args:
        trials: The trials; those without an end are left out.
        spaces: Setting -> space.
        lower: Whether a lower score is better.

    Returns:
        None where fewer than ``FEWEST`` trials ended, all their scores are equal, or there are not
        two choices to compare.
    """
    done = [trial for trial in trials if trial.complete]
    if len(done) < FEWEST or len({trial.score for trial in done}) < 2:
        return None
    arms = {name: _choices(done, name) for name in ARM}
    choices = {name: values for name, values in arms.items() if len(values) > 1}
    varied = {
        name: space
        for name, space in spaces.items()
        if len({trial.params[name] for trial in done}) > 1
    }
    if len(choices) + len(varied) < 2:
        return None
    return _fanova(done, choices, varied, lower)


def _choices(trials: Sequence[Trial], name: str) -> list[str]:
    return list(dict.fromkeys(_value(trial, name) for trial in trials))


def _value(trial: Trial, name: str) -> str:
    """Return the student, the teacher or the method of a trial."""
    return str(getattr(trial, name) or "none")


def _fanova(
    trials: Sequence[Trial],
    choices: Mapping[str, Sequence[str]],
    spaces: Mapping[str, Space],
    lower: bool,
) -> dict[str, float]:
    import optuna  # slow, as is scikit-learn behind it
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {
        **{
            name: optuna.distributions.CategoricalDistribution(tuple(choices[name]))
            for name in choices
        },
        **{name: _distribution(name, space, trials) for name, space in spaces.items()},
    }
    study = optuna.create_study(direction="minimize" if lower else "maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={
                    **{name: _value(trial, name) for name in choices},
                    **{name: trial.params[name] for name in spaces},
                },
                distributions=distributions,
                value=trial.score,
            )
            for trial in trials
        ]
    )
    evaluator = FanovaImportanceEvaluator(n_trees=_TREES, max_depth=_DEPTH, seed=0)
    found = get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def _distribution(name: str, space: Space, trials: Sequence[Trial]) -> BaseDistribution:
    """Return the space as Optuna's, as wide as it must be to hold the trials."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    values: list[Any] = [trial.params[name] for trial in trials]
    if space.get("choices"):
        return CategoricalDistribution(tuple(dict.fromkeys((*space["choices"], *values))))
    low, high = min(space["min"], *values), max(space["max"], *values)
    return FloatDistribution(float(low), float(high), log=bool(space.get("log")) and low > 0)
