from __future__ import annotations

import numpy as np
import pytest

from kdray.measure import faithfulness, masked, over_images


def test_an_image_is_black_where_its_map_is_zero() -> None:
    images = np.full((1, 2, 2, 3), 200, dtype=np.uint8)
    maps = np.array([[[0.0, 0.5], [1.0, 2.0]]])
    assert masked(images, maps)[0, :, :, 0].tolist() == [[0, 100], [200, 200]]


def test_retention_is_one_less_the_average_drop() -> None:
    before = np.array([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]])
    after = np.array([[0.4, 0.6], [0.9, 0.1], [0.1, 0.9]])
    found = faithfulness(before, after, np.array([0, 0, 1]))
    drops = [0.4 / 0.8, 0.0, 0.0]
    assert found["retention"]["mean"] == pytest.approx(1 - np.mean(drops))
    assert found["retention"]["over"] == "images"


def test_label_agreement_counts_equal_predictions() -> None:
    before = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]])
    after = np.array([[0.4, 0.6], [0.9, 0.1], [0.1, 0.9]])
    found = faithfulness(before, after, np.array([0, 0, 1]))
    assert found["label_agreement"]["mean"] == pytest.approx(2 / 3)


def test_a_class_of_probability_zero_divides_nothing_by_zero() -> None:
    found = faithfulness(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]]), np.array([0]))
    assert found["retention"]["mean"] == 0.0
    assert found["label_agreement"]["mean"] == 1.0


def test_an_interval_over_images_stays_in_the_range_of_their_values() -> None:
    found = over_images([0.0, 1.0, 1.0, 0.0])
    assert found["mean"] == 0.5
    assert found["std"] == pytest.approx((1 / 3) ** 0.5)
    assert 0.0 <= found["low"] < 0.5 < found["high"] <= 1.0


def test_one_image_has_no_interval() -> None:
    assert over_images([0.3]) == {
        "mean": 0.3,
        "std": None,
        "low": None,
        "high": None,
        "n": 1,
        "over": "images",
    }
