from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from kdray.measure import Removal, map_scores
from kdray.measure.removal import removal_curves

#: More pixels than steps, as many, and fewer.
SIZES = [(16, 12), (5, 4), (4, 3)]


@pytest.mark.parametrize("size", SIZES)
def test_both_areas_are_those_of_torchcam(
    size: tuple[int, int], small: Any, given: Any, probabilities: Any, tensor: Any
) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, *size, 3), dtype=np.uint8)
    maps = (random.integers(0, 9, (3, *size)) / 8).astype(np.float32)
    targets, removal = np.array([2, 0, 1]), Removal(colour=(10, 20, 30), blur=0)
    found = map_scores(probabilities, images, maps, targets, removal=removal).values
    for index in range(3):
        baseline = torch.tensor([10.0, 20.0, 30.0])[:, None, None]
        theirs = torchcams(small, given, tensor, images[index], maps[index], baseline)
        wanted = theirs(int(targets[index]))
        assert found["deletion_auc"][index] == pytest.approx(wanted["deletion_auc"], abs=1e-5)
        assert found["insertion_auc"][index] == pytest.approx(wanted["insertion_auc"], abs=1e-5)


def torchcams(
    small: Any, given: Any, tensor: Any, image: np.ndarray, map_: np.ndarray, baseline: Any
) -> Callable[[int], dict[str, float]]:
    def call(target: int) -> dict[str, float]:
        from torchcam.metrics import DeletionInsertionMetric

        extractor = given(small, torch.from_numpy(map_)[None])
        metric = DeletionInsertionMetric(
            extractor, lambda logits: logits.softmax(dim=-1), baseline=baseline
        )
        metric.update(tensor(image[None]), target)
        return metric.summary()

    return call


def test_insertion_starts_from_the_blurred_image_and_deletion_ends_at_the_mean_colour(
    small: Any, given: Any, probabilities: Any, tensor: Any, images: Any, maps: Any, targets: Any
) -> None:
    found = map_scores(probabilities, images, maps, targets).values
    gaussian = ImageFilter.GaussianBlur(1.6)  # a tenth of 16 pixels
    blurred = np.asarray(Image.fromarray(images[1]).filter(gaussian))
    mean = np.broadcast_to(np.round(images[1].mean(axis=(0, 1))), blurred.shape)
    for name, baseline in (("insertion_auc", blurred), ("deletion_auc", mean)):
        start = tensor(baseline[None].astype(np.float32))
        wanted = torchcams(small, given, tensor, images[1], maps[1], start)(1)
        assert found[name][1] == pytest.approx(wanted[name], abs=1e-5)


def test_the_areas_by_hand() -> None:
    # The answer is the brightness of the hottest pixel alone, which is deleted and inserted first.
    image = np.zeros((1, 2, 2, 1), dtype=np.uint8)
    image[0, 1, 0] = 255
    heat = np.array([[[0.1, 0.2], [0.9, 0.3]]])

    def bright(batch: np.ndarray) -> np.ndarray:
        value = batch[:, 1, 0, 0] / 255
        return np.stack([value, 1 - value], axis=1)

    removal = Removal(steps=4, colour=(0,), blur=0)
    found = map_scores(bright, image, heat, np.array([0]), removal=removal)
    assert found.curves["deletion"].tolist() == [[1, 0, 0, 0, 0]]
    assert found.curves["insertion"].tolist() == [[0, 1, 1, 1, 1]]
    assert found.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.values["deletion_auc"] == pytest.approx(0.125)
    assert found.values["insertion_auc"] == pytest.approx(0.875)


def test_the_parts_of_the_map_that_go_add_up_to_it(
    probabilities: Any, images: Any, maps: Any, targets: Any
) -> None:
    before = probabilities(images)
    curves = removal_curves(probabilities, images, maps, targets, before, Removal())
    assert curves.removed.sum(axis=1) == pytest.approx(maps.sum(axis=(1, 2), dtype=np.float64))
    assert (np.diff(curves.removed[:, :-1]) <= 0).all()  # the hottest go first; the last is less


def test_all_scores_of_a_map_cost_42_images_and_no_batch_is_larger_than_asked_for(
    probabilities: Any, images: Any, maps: Any, targets: Any
) -> None:
    found = map_scores(probabilities, images, maps, targets, maps > 0.5, Removal(batch_size=7))
    assert found.forwards == sum(probabilities.batches) == 42 * len(images)
    assert max(probabilities.batches) == 7


def test_one_colour_for_both_ends_saves_an_image(
    probabilities: Any, images: Any, maps: Any, targets: Any
) -> None:
    found = map_scores(probabilities, images, maps, targets, removal=Removal(blur=0))
    assert found.forwards == sum(probabilities.batches) == 41 * len(images)
    assert found.curves["deletion"][:, -1] == pytest.approx(found.curves["insertion"][:, 0])
