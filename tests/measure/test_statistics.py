from __future__ import annotations

import math

import numpy as np
import pytest

from kdray.measure import bootstrap_interval, interval, paired_bootstrap, paired_difference
from kdray.measure.statistics import student_t


@pytest.mark.parametrize(
    ("freedom", "confidence", "expected"),
    [  # a printed table of Student's t
        (1, 0.95, 12.706),
        (2, 0.95, 4.303),
        (3, 0.95, 3.182),
        (4, 0.95, 2.776),
        (9, 0.95, 2.262),
        (30, 0.95, 2.042),
        (120, 0.95, 1.980),
        (1, 0.99, 63.657),
        (2, 0.90, 2.920),
        (5, 0.99, 4.032),
        (10, 0.80, 1.372),
    ],
)
def test_student_t_is_that_of_the_tables(freedom: int, confidence: float, expected: float) -> None:
    assert student_t(confidence, freedom) == pytest.approx(expected, abs=5e-4)


def test_student_t_of_one_and_two_degrees_has_a_closed_form() -> None:
    assert student_t(0.95, 1) == pytest.approx(math.tan(math.pi * 0.95 / 2), rel=1e-9)
    assert student_t(0.9, 2) == pytest.approx(0.9 * math.sqrt(2 / (1 - 0.81)), rel=1e-9)


def test_the_interval_over_seeds_by_hand() -> None:
    found = interval([1.0, 2.0, 3.0])
    half = 4.302653 * 1.0 / math.sqrt(3)
    assert (found["mean"], found["std"]) == pytest.approx((2.0, 1.0))
    assert (found["low"], found["high"]) == pytest.approx((2 - half, 2 + half))
    assert (found["n"], found["over"]) == (3, "seeds")


def test_a_single_seed_has_no_spread() -> None:
    expected = {"mean": 0.5, "std": None, "low": None, "high": None, "n": 1, "over": "seeds"}
    assert interval([0.5]) == expected


def test_undefined_scores_are_left_out() -> None:
    assert interval([None, 0.5])["n"] == 1
    assert interval([None])["mean"] is None


def test_about_95_of_100_intervals_hold_the_true_mean() -> None:
    random = np.random.default_rng(0)
    found = [interval(list(random.normal(size=4))) for _ in range(1000)]
    share = np.mean([of["low"] < 0 < of["high"] for of in found])
    assert share == pytest.approx(0.95, abs=0.02)


def test_the_paired_difference_by_hand() -> None:
    found = paired_difference([0.9, 0.8, 0.85], [0.8, 0.75, 0.8])
    # Differences 0.10, 0.05, 0.05: mean 1/15, std sqrt(3)/60, so t = 4.0 with 2 degrees.
    assert found["mean"] == pytest.approx(1 / 15)
    assert found["n"] == 3
    # P(|T| > t) with 2 degrees is 1 - t / sqrt(2 + t^2).
    assert found["p"] == pytest.approx(1 - 4 / math.sqrt(18))
    half = 4.302653 * math.sqrt(3) / 60 / math.sqrt(3)
    assert (found["low"], found["high"]) == pytest.approx((1 / 15 - half, 1 / 15 + half))
    assert found["over"] == "seeds"
    assert "std" not in found


def test_equal_models_do_not_differ() -> None:
    assert paired_difference([0.5, 0.6], [0.5, 0.6])["p"] == 1.0


def test_differences_without_spread_have_no_p_value() -> None:
    assert paired_difference([0.3, 0.5], [0.2, 0.4])["p"] is None
    assert paired_difference([0.3], [0.2])["p"] is None


def test_pairs_need_equal_numbers_of_seeds() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_difference([0.1, 0.2], [0.1])


def sample(num: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels with an accuracy of exactly 0.8."""
    labels = np.arange(num) % 2
    shown = np.where(np.arange(num) % 10 < 8, labels, 1 - labels)
    return np.eye(2)[shown], labels


def test_the_bootstrap_of_the_accuracy_is_near_the_binomial_one() -> None:
    found = bootstrap_interval(*sample(), "accuracy", repeats=1000)
    error = math.sqrt(0.8 * 0.2 / 200)
    assert found["mean"] == 0.8
    assert found["std"] == pytest.approx(error, rel=0.1)
    assert found["low"] == pytest.approx(0.8 - 1.96 * error, abs=0.015)
    assert found["high"] == pytest.approx(0.8 + 1.96 * error, abs=0.015)
    assert (found["n"], found["over"]) == (200, "images")


def test_the_same_seed_draws_the_same_images() -> None:
    first, second, other = (
        bootstrap_interval(*sample(), "loss", repeats=20, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second != other


def test_the_auc_of_one_class_has_no_bootstrap() -> None:
    found = bootstrap_interval(np.eye(2), np.array([0, 0]), "auc", repeats=5)
    assert (found["mean"], found["low"]) == (None, None)


def test_a_better_model_differs_from_a_worse_one_on_the_same_images() -> None:
    logits, labels = sample()
    found = paired_bootstrap(np.eye(2)[labels], logits, labels, "accuracy", repeats=200)
    assert found["mean"] == pytest.approx(0.2)
    assert 0.1 < found["low"] < 0.2 < found["high"] < 0.3
    assert found["p"] == pytest.approx(2 / 201)
    assert (found["n"], found["over"]) == (200, "images")


def test_a_model_does_not_differ_from_itself() -> None:
    logits, labels = sample()
    found = paired_bootstrap(logits, logits, labels, "macro_f1", repeats=50)
    assert (found["mean"], found["low"], found["high"], found["p"]) == (0.0, 0.0, 0.0, 1.0)
