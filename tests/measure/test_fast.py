from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kdray.errors import ModelError
from kdray.measure import scores, validation_scores
from kdray.measure.fast import prepared, score_function

NAMES = (
    "accuracy",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "weighted_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_auc",
    "auc",
    "ece",
    "loss",
)


def sample(num: int, num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(num_classes, size=num)
    logits = random.normal(size=(num, num_classes)) * 2
    logits[np.arange(num), labels] += 1.0
    return logits, labels


@pytest.mark.parametrize("num_classes", [2, 3, 7])
@pytest.mark.parametrize("name", NAMES)
def test_the_fast_scores_equal_torchmetrics(name: str, num_classes: int) -> None:
    logits, labels = sample(211, num_classes)
    expected = scores(logits, labels, [str(index) for index in range(num_classes)])[name]
    found = score_function(name)(*prepared(logits, labels))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_fast_scores_equal_torchmetrics_with_absent_classes_and_ties(name: str) -> None:
    logits, labels = sample(60, 4)
    logits, labels = np.round(logits), np.where(labels == 2, 0, labels)
    logits[:20] = 0.0
    expected = scores(logits, labels, "abcd")[name]
    found = score_function(name)(*prepared(logits, labels))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_fast_scores_equal_torchmetrics_for_saturated_probabilities(name: str) -> None:
    logits, labels = sample(60, 3)
    expected = scores(logits * 1000, labels, "abc")[name]
    found = score_function(name)(*prepared(logits * 1000, labels))
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_scores_of_an_epoch_are_four_and_those_of_the_final_table() -> None:
    logits, labels = sample(50, 3)
    found = validation_scores(torch.from_numpy(logits).float(), torch.from_numpy(labels))
    expected = scores(logits, labels, "abc")
    assert list(found) == ["accuracy", "macro_f1", "auc", "loss"]
    assert found == pytest.approx({name: expected[name] for name in found}, abs=1e-6)


def test_tensors_with_gradient_and_half_precision_are_taken() -> None:
    logits = torch.tensor([[0.0, 2.0], [1.0, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    assert validation_scores(logits, torch.tensor([1, 0]))["accuracy"] == 1.0


def test_the_loss_is_the_cross_entropy_in_nats() -> None:
    logits = np.log([[0.5, 0.5], [0.1, 0.9]])
    found = validation_scores(logits, np.array([0, 1]))["loss"]
    assert found == pytest.approx((math.log(2) - math.log(0.9)) / 2)


def test_the_auc_is_undefined_for_a_single_class() -> None:
    assert validation_scores(np.eye(3)[:2], np.array([0, 0]))["auc"] is None


def test_diverged_logits_are_an_error_that_counts_them() -> None:
    logits = np.zeros((3, 2))
    logits[1, 0], logits[2, 1] = np.nan, np.inf
    with pytest.raises(ModelError, match="2 of 3 rows are NaN or infinite"):
        validation_scores(logits, np.array([0, 1, 0]))


@pytest.mark.parametrize(
    ("logits", "labels"),
    [(np.zeros((2, 3)), [0]), (np.zeros((0, 3)), []), (np.zeros((1, 3)), [3]), (np.zeros(3), [0])],
)
def test_shapes_and_labels_must_fit(logits: np.ndarray, labels: list[int]) -> None:
    with pytest.raises(ValueError, match="labels"):
        validation_scores(logits, np.array(labels, dtype=int))


def test_an_unknown_score_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ValueError, match="'f1'; there are: accuracy, macro_f1"):
        score_function("f1")
