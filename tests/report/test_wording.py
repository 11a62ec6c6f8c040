"""Sentences that the numbers allow, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kdray.report import facts, wording

Results = dict[str, Any]


@pytest.fixture
def decided(results: Results) -> Callable[..., Results]:
    """Make results whose cnn5 differs from the student alone by what is given."""

    def make(mean: float, low: float, high: float, p: float) -> Results:
        found = {"mean": mean, "low": low, "high": high, "n": 3, "p": p, "over": "seeds"}
        results["models"][2]["against_alone"]["test_clean"]["macro_f1"] = found
        return results

    return make


def test_the_headline_quotes_the_split_without_leaks(results: Results) -> None:
    found = results["models"][2]["summary"]["test_clean"]["macro_f1"]
    shown = f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}] over 3 seeds"
    assert wording.headline(results)[0] == (
        "cnn5 <- resnet18 (kd), the student chosen on validation, reaches a macro F1 of "
        f"{shown} on the 807 test images without a companion in training."
    )


def test_the_headline_compares_with_the_teacher(results: Results) -> None:
    assert wording.headline(results)[1].endswith(
        "over images; the student has 28.5 times fewer parameters, needs 29.8 times fewer "
        "operations and answers 12.0 times faster."
    )


def test_a_gain_is_claimed_when_the_interval_lies_above_zero(
    decided: Callable[..., Results],
) -> None:
    said = wording.headline(decided(0.04, 0.01, 0.07, 0.02))[2]
    assert "+0.040 [+0.010, +0.070], p = 0.020, and its interval lies above zero." in said


def test_no_gain_is_claimed_when_the_interval_contains_zero(
    decided: Callable[..., Results],
) -> None:
    results = decided(0.04, -0.01, 0.09, 0.2)
    assert wording.headline(results)[2].endswith("so a gain is not shown.")
    assert any("cnn5 <- resnet18 (kd) +0.040" in warning for warning in wording.warnings(results))


def test_harm_is_said(decided: Callable[..., Results]) -> None:
    said = wording.headline(decided(-0.04, -0.07, -0.01, 0.02))[2]
    assert said.endswith("the teacher did harm.")


def test_the_student_is_chosen_on_validation_and_not_on_the_test(results: Results) -> None:
    results["promoted"] = None
    for run in results["models"][3]["runs"]:
        run["validation"] = {"macro_f1": 0.999}
    assert facts.best_student(results) == results["models"][3]
    assert "no distilled student was better" in wording.headline(results)[1]


def test_a_loss_is_better_when_lower(results: Results) -> None:
    results.update(select="loss", promoted=None)
    for place, model in enumerate(results["models"]):
        for run in model["runs"]:
            run["validation"] = {"loss": 0.5 if place == 4 else 0.6}
    assert facts.best_student(results) == results["models"][4]
    assert "reaches a macro F1 of" in wording.headline(results)[0]


def test_leaks_are_warned_of_with_their_share(results: Results) -> None:
    assert wording.warnings(results)[0].startswith("504 of the 1,311 test images (38.4%)")


def test_without_leaks_there_is_no_such_warning(change: Callable[..., Results]) -> None:
    results = change(splits=("test",))
    assert not [warning for warning in wording.warnings(results) if "companion" in warning]
    assert facts.main_split(results) == "test"


def test_one_run_each_is_warned_of(change: Callable[..., Results]) -> None:
    assert any("trained once" in warning for warning in wording.warnings(change(seeds=1)))


def test_without_a_test_split_nothing_is_claimed(change: Callable[..., Results]) -> None:
    results = change(splits=())
    assert "there is no test split" in wording.headline(results)[0]
    assert "nothing here says" in wording.warnings(results)[0]


def test_without_a_baseline_no_gain_is_claimed(results: Results) -> None:
    results["models"] = [model for model in results["models"] if model["method"] != "none"]
    for model in results["models"]:
        model["against_alone"] = None
    assert wording.headline(results)[2].endswith("so the gain is not known.")


def test_a_slower_student_is_not_called_faster(results: Results) -> None:
    results["models"][2]["cost"] = {**results["models"][0]["cost"], "latency_ms": 99.0}
    assert wording.headline(results)[1].endswith("the student is not cheaper.")


def test_a_registered_version_is_said_with_its_alias(results: dict[str, Any]) -> None:
    assert wording.registered(results) == (
        "cnn5 <- resnet18 (kd) is version 1 of brain-mri, alias champion, "
        "in registry (macro_f1 on validation)."
    )
    results["promoted"] = None
    assert wording.registered(results) == ""


@pytest.mark.parametrize(("before", "stays"), [(3, "stays at version 3"), (0, "points nowhere")])
def test_an_alias_that_stayed_is_said_with_the_reason(
    results: dict[str, Any], before: int, stays: str
) -> None:
    results["promoted"] |= {"moved": False, "before": before, "why_not": "too slow"}
    assert wording.registered(results) == (
        "cnn5 <- resnet18 (kd) is version 1 of brain-mri in registry (macro_f1 on validation); "
        f"the alias champion {stays}: too slow."
    )
