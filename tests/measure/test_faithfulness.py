from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from kdray.measure import Removal, map_scores, over_images
from kdray.measure.faithfulness import masked


def from_table(before: list[list[float]], after: list[list[float]]) -> dict[str, np.ndarray]:
    """Return the scores of images that a model answers by ``before``, and masked by ``after``."""
    images = np.full((len(before), 2, 2, 1), 255, dtype=np.uint8)
    maps = np.array([[[0.0, 1.0], [0.0, 1.0]]] * len(before))
    answers = iter([before, after])

    def model(batch: np.ndarray) -> np.ndarray:
        return np.array(next(answers, [[0.5, 0.5]] * len(batch)))

    targets = np.zeros(len(before), dtype=np.int64)
    return dict(map_scores(model, images, maps, targets, removal=Removal(steps=2)).values)


def test_an_image_is_seen_through_its_map() -> None:
    image = np.full((1, 1, 3, 2), 100, dtype=np.uint8)
    seen = masked(image, np.array([[[0.0, 0.5, 1.0]]]))
    assert seen[0, 0, :, 0].tolist() == seen[0, 0, :, 1].tolist() == [0, 50, 100]
    assert seen.dtype == np.uint8


def test_average_drop_and_increase_are_those_of_torchcam(
    small: Any, given: Any, probabilities: Any, tensor: Any, images: Any, maps: Any, targets: Any
) -> None:
    from torchcam.metrics import ClassificationMetric

    images = images // 5 * 5  # so that the image times the map is whole, as ours rounds it
    found = map_scores(probabilities, images, maps, targets).values
    extractor = given(small, torch.from_numpy(maps))
    metric = ClassificationMetric(extractor, lambda logits: logits.softmax(dim=-1))
    metric.update(tensor(images), targets.tolist())
    wanted = metric.summary()
    assert 0 < wanted["conf_increase"] < 1
    assert found["average_drop"].mean() == pytest.approx(wanted["avg_drop"], abs=1e-5)
    assert found["increase"].mean() == wanted["conf_increase"]


def test_the_confidence_scores_by_hand() -> None:
    found = from_table([[0.8, 0.2], [0.5, 0.5], [0.2, 0.8]], [[0.4, 0.6], [0.9, 0.1], [0.2, 0.8]])
    assert found["average_drop"] == pytest.approx([0.5, 0, 0])
    assert found["retention"] == pytest.approx([0.5, 1, 1])
    assert found["increase"].tolist() == [0, 1, 0]
    assert found["prediction_change"] == pytest.approx([0.6, 0.6, 1])
    assert found["label_agreement"].tolist() == [0, 1, 1]


def test_a_class_of_probability_zero_has_no_drop_to_speak_of() -> None:
    found = from_table([[0.0, 1.0]], [[0.3, 0.7]])
    assert np.isnan(found["average_drop"][0])
    assert np.isnan(found["retention"][0])
    assert found["increase"].tolist() == [1]


def test_removal_correlation_pairs_each_share_of_the_map_with_what_its_loss_costs() -> None:
    # Four pixels, deleted one by one; the answer is a weighted sum of them.
    image = np.full((1, 2, 2, 1), 200, dtype=np.uint8)
    heat = np.array([[[0.9, 0.6], [0.5, 0.1]]])
    weights = np.array([[0.2, 0.5], [0.1, 0.2]])

    def model(batch: np.ndarray) -> np.ndarray:
        value = (batch[..., 0] / 200 * weights).sum(axis=(1, 2))
        return np.stack([value, 1 - value], axis=1)

    removal = Removal(steps=4, colour=(0,), blur=0)
    found = map_scores(model, image, heat, np.array([0]), removal=removal).values
    wanted = np.corrcoef([0.9, 0.6, 0.5, 0.1], [0.2, 0.5, 0.1, 0.2])[0, 1]
    assert found["removal_correlation"][0] == pytest.approx(wanted)


def test_a_model_that_never_changes_its_mind_correlates_with_nothing(
    images: Any, maps: Any, targets: Any
) -> None:
    found = map_scores(lambda batch: np.full((len(batch), 3), 1 / 3), images, maps, targets).values
    assert np.isnan(found["removal_correlation"]).all()
    assert found["deletion_auc"] == pytest.approx([1 / 3] * 4)


def test_a_copy_of_the_image_is_wholly_similar_to_it(probabilities: Any, images: Any) -> None:
    grey = images.mean(axis=3) / 255
    found = map_scores(probabilities, images, np.stack([grey[0], *(1 - grey[1:])]), [0, 1, 2, 0])
    assert found.values["input_similarity"] == pytest.approx([1, -1, -1, -1])


def test_blank_maps_have_no_score_and_cost_nothing(
    probabilities: Any, images: Any, maps: Any, targets: Any
) -> None:
    alone = map_scores(probabilities, images[2:3], maps[2:3], targets[2:3])
    maps = maps.copy()
    maps[0], maps[1], maps[3, 0, 0] = 1.0, 0.0, np.nan
    found = map_scores(probabilities, images, maps, targets, np.ones(maps.shape))
    assert (found.degenerate, found.forwards) == (3, alone.forwards)
    for name, values in alone.values.items():
        assert np.isfinite(found.values[name]).tolist() == [False, False, True, False], name
        assert found.values[name][2] == pytest.approx(values[0])


def test_nothing_but_blank_maps_asks_the_model_nothing(images: Any, targets: Any) -> None:
    found = map_scores(lambda _: pytest.fail("asked"), images, np.zeros((4, 16, 12)), targets)
    assert (found.degenerate, found.forwards) == (4, 0)
    assert all(np.isnan(values).all() for values in found.values.values())


def test_maps_of_another_size_than_the_images_are_refused(
    probabilities: Any, images: Any, targets: Any
) -> None:
    with pytest.raises(ValueError, match="differ"):
        map_scores(probabilities, images, np.zeros((4, 8, 8)), targets)


def test_an_interval_over_images_stays_in_the_range_of_their_values() -> None:
    found = over_images([0.0, 1.0, 1.0, 0.0])
    assert found["mean"] == 0.5
    assert found["std"] == pytest.approx((1 / 3) ** 0.5)
    assert 0.0 <= found["low"] < 0.5 < found["high"] <= 1.0


def test_one_image_has_no_interval() -> None:
    nothing = {"std": None, "low": None, "high": None}
    assert over_images([0.3]) == {"mean": 0.3, **nothing, "n": 1, "over": "images"}


def test_undefined_values_are_left_out_and_not_counted() -> None:
    assert over_images([np.nan, 0.2, 0.4]) == over_images([0.2, 0.4])
    assert over_images([np.nan])["mean"] is None
    assert over_images([np.nan])["n"] == 0
