from __future__ import annotations

import json
import math

import numpy as np
import pytest

from kdray.measure import scores

#: True class, predicted class; class 2 is never predicted.
TRUE = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 1])


def logits_of(predicted: np.ndarray, num_classes: int, height: float = 2.0) -> np.ndarray:
    return height * np.eye(num_classes)[predicted]


def test_accuracy_precision_recall_and_f1_by_hand() -> None:
    found = scores(logits_of(PREDICTED, 3), TRUE, ["a", "b", "c"])
    assert found["accuracy"] == pytest.approx(3 / 6)
    a, b, c = (found["per_class"][name] for name in "abc")
    assert (a["precision"], a["recall"], a["f1"]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (b["precision"], b["recall"], b["f1"]) == pytest.approx((1 / 3, 1 / 2, 2 / 5))
    assert (c["precision"], c["recall"], c["f1"]) == (0.0, 0.0, 0.0)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 5 + 0) / 3)


def test_confusion_counts_have_the_true_classes_as_rows() -> None:
    found = scores(logits_of(PREDICTED, 3), TRUE, ["a", "b", "c"])
    assert found["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert [of["support"] for of in found["per_class"].values()] == [3, 2, 1]


def test_the_auc_is_the_share_of_pairs_in_order_and_ties_count_half() -> None:
    chance = np.array([0.9, 0.6, 0.6, 0.2])
    found = scores(np.log(np.stack([1 - chance, chance], axis=1)), np.array([1, 0, 1, 0]), "ab")
    # Pairs (positive above negative): 0.9 > 0.6, 0.9 > 0.2, 0.6 = 0.6 (half), 0.6 > 0.2.
    assert found["per_class"]["b"]["auc"] == pytest.approx(3.5 / 4)
    assert found["auc"] == pytest.approx(3.5 / 4)


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    # All six images have the confidence e^2 / (e^2 + 2), in one bin; half of them are right.
    confidence = math.exp(2) / (math.exp(2) + 2)
    found = scores(logits_of(PREDICTED, 3), TRUE, ["a", "b", "c"])
    assert found["ece"] == pytest.approx(confidence - 0.5, abs=1e-6)


def test_a_class_absent_from_the_split_has_no_scores_and_no_part_in_the_means() -> None:
    logits = logits_of(np.array([0, 2, 1, 1]), 3)
    found = scores(logits, np.array([0, 0, 1, 1]), ["a", "b", "absent"])
    empty = {"precision": None, "recall": None, "f1": None, "auc": None, "support": 0}
    assert found["per_class"]["absent"] == empty
    # a: precision 1, recall 1/2; b: all right.
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["auc"] is not None


def test_the_auc_is_null_where_the_split_holds_one_class() -> None:
    found = scores(logits_of(np.array([0, 1]), 2), np.array([0, 0]), ["a", "b"])
    assert found["auc"] is None
    assert found["per_class"]["a"]["auc"] is None


def test_the_scores_are_plain_json() -> None:
    found = scores(logits_of(PREDICTED, 3), TRUE, ["a", "b", "c"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_logits_must_fit_the_classes() -> None:
    with pytest.raises(ValueError, match="3 logits for 2 classes"):
        scores(np.zeros((1, 3)), np.array([0]), ["a", "b"])


def test_the_sigmoid_auc_ranks_images_by_each_class_alone() -> None:
    logits = np.array([[3.0, 9.0], [2.0, -1.0], [1.0, 0.0], [0.0, 8.0]])
    labels = np.array([0, 0, 1, 1])
    # class 0: 3, 2 against 1, 0: all four pairs right; class 1: 0, 8 against 9, -1: two of four
    assert scores(logits, labels, "ab")["sigmoid_auc"] == pytest.approx((1.0 + 0.5) / 2)
    assert scores(logits * 1000, labels, "ab")["sigmoid_auc"] == pytest.approx(0.75)
