from __future__ import annotations

import numpy as np
import pytest

from kdray.measure import localisation


def one(heat: list[list[float]], lesion: list[list[int]], **how: int) -> dict[str, float]:
    found = localisation(np.array([heat]), np.array([lesion]), **how)
    return {name: float(values[0]) for name, values in found.items()}


def test_all_scores_by_hand() -> None:
    found = one([[1.0, 0.6, 0.0], [0.4, 0.0, 0.0]], [[1, 0, 0], [1, 0, 0]])
    assert found["pointing_hit"] == 1.0
    assert found["energy_inside"] == pytest.approx(1.4 / 2.0)
    assert found["iou_best"] == pytest.approx(2 / 3)  # at 0.4: three pixels, two of them inside
    assert found["iou_half"] == pytest.approx(1 / 3)  # at 0.5: two pixels, one of them inside


def test_pixels_of_one_value_pass_a_threshold_together() -> None:
    # Taking the first of the two equal pixels alone would give 1.
    assert one([[0.5, 0.5, 0.1]], [[1, 0, 0]])["iou_best"] == pytest.approx(0.5)


def test_the_best_threshold_is_the_best_of_all() -> None:
    random = np.random.default_rng(0)
    heats = random.integers(1, 9, (5, 6, 6)) / 8
    lesions = random.random((5, 6, 6)) < 0.3
    found = localisation(heats, lesions)["iou_best"]
    for heat, lesion, best in zip(heats, lesions, found, strict=True):
        overlaps = [
            ((heat >= level) & lesion).sum() / ((heat >= level) | lesion).sum()
            for level in np.unique(heat)
        ]
        assert best == pytest.approx(max(overlaps))


def test_a_hit_may_lie_as_far_from_the_lesion_as_tolerated() -> None:
    heat, lesion = [[0.0, 0.0, 0.0, 1.0]], [[1, 0, 0, 0]]
    hits = [one(heat, lesion, tolerance=pixels)["pointing_hit"] for pixels in (0, 2, 3)]
    assert hits == [0.0, 0.0, 1.0]


def test_the_first_of_several_highest_pixels_counts() -> None:
    assert one([[1.0, 1.0]], [[0, 1]])["pointing_hit"] == 0.0


@pytest.mark.parametrize(
    ("heat", "lesion"),
    [([[1.0, 0.0]], [[0, 0]]), ([[0.0, 0.0]], [[1, 0]]), ([[float("nan"), 1.0]], [[1, 0]])],
    ids=["no lesion", "map of zeros", "map with NaN"],
)
def test_where_there_is_nothing_to_hit_or_to_hit_with_no_score_is_defined(
    heat: list[list[float]], lesion: list[list[int]]
) -> None:
    assert all(np.isnan(value) for value in one(heat, lesion).values())


def test_maps_of_another_size_than_the_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        localisation(np.zeros((1, 2, 8)), np.zeros((1, 4, 4)))
