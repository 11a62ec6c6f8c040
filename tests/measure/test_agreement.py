from __future__ import annotations

import numpy as np
import pytest

from kdray.measure import mean_agreement, pointing_game


def corner(row: int, column: int, size: int = 5) -> np.ndarray:
    heat = np.zeros((size, size))
    heat[row, column] = 1.0
    return heat


def test_equal_maps_agree_wholly() -> None:
    maps = np.random.default_rng(0).random((3, 5, 5))
    found = mean_agreement(maps, 3 * maps + 7)
    assert found["pearson"] == pytest.approx(1.0)
    assert found["iou20"] == 1.0
    assert found["images"] == 3


def test_pearson_is_the_mean_over_images_of_numpys() -> None:
    random = np.random.default_rng(1)
    ours, theirs = random.random((4, 3, 3)), random.random((4, 3, 3))
    table = [[np.corrcoef(a.ravel(), b.ravel())[0, 1] for b in theirs] for a in ours]
    found = mean_agreement(ours, theirs)
    assert found["pearson"] == pytest.approx(np.mean([table[i][i] for i in range(4)]))
    others = [table[i][j] for i in range(4) for j in range(4) if i != j]
    assert found["chance_pearson"] == pytest.approx(np.mean(others))


def test_maps_that_always_look_at_the_same_place_agree_no_more_than_by_chance() -> None:
    maps = np.stack([corner(2, 2)] * 3)
    found = mean_agreement(maps, maps)
    assert found["pearson"] == pytest.approx(1.0)
    assert found["chance_pearson"] == pytest.approx(1.0)


def test_a_single_image_has_no_chance_level() -> None:
    maps = corner(0, 0)[None]
    assert mean_agreement(maps, maps)["chance_pearson"] is None


def test_the_overlap_of_the_top_20_percent_by_hand() -> None:
    # 10 pixels: the two highest of each lie above the 80th percentile; they share one.
    ours = np.arange(10.0).reshape(1, 2, 5)
    theirs = ours.copy()
    theirs[0, 1, 3], theirs[0, 0, 0] = 0.0, 8.0
    assert mean_agreement(ours, theirs)["iou20"] == pytest.approx(1 / 3)


def test_blank_and_nan_maps_are_left_out() -> None:
    maps = np.random.default_rng(0).random((3, 4, 4))
    spoiled = maps.copy()
    spoiled[0] = 0.5
    spoiled[1, 0, 0] = np.nan
    found = mean_agreement(maps, spoiled)
    assert found["images"] == 1
    assert (found["pearson"], found["iou20"]) == (pytest.approx(1.0), 1.0)


def test_nothing_to_compare_gives_nulls() -> None:
    nothing = {"pearson": None, "chance_pearson": None, "iou20": None, "images": 0}
    assert mean_agreement(np.zeros((2, 3, 3)), np.zeros((2, 3, 3))) == nothing
    assert mean_agreement(np.zeros((0, 3, 3)), np.zeros((0, 3, 3))) == nothing


def test_shapes_must_be_equal() -> None:
    with pytest.raises(ValueError, match="differ"):
        mean_agreement(np.zeros((1, 2, 8)), np.zeros((1, 4, 4)))
    with pytest.raises(ValueError, match="differ"):
        pointing_game(np.zeros((1, 2, 8)), np.zeros((1, 4, 4)))


def test_the_pointing_game_by_hand() -> None:
    maps = np.array([[[0.0, 1.0], [3.0, 0.0]], [[4.0, 0.0], [0.0, 1.0]]])
    masks = np.array([[[0, 0], [1, 1]], [[0, 1], [0, 1]]], dtype=np.uint8)
    found = pointing_game(maps, masks)
    assert found == {"hits": 1, "misses": 1, "energy_inside": pytest.approx((3 / 4 + 1 / 5) / 2)}


def test_images_without_lesion_or_map_do_not_count() -> None:
    maps = np.stack([corner(0, 0), np.zeros((5, 5)), np.full((5, 5), np.nan), corner(1, 1)])
    masks = np.stack([corner(0, 0), corner(0, 0), corner(0, 0), np.zeros((5, 5))]) > 0
    assert pointing_game(maps, masks) == {"hits": 1, "misses": 0, "energy_inside": 1.0}
    empty = {"hits": 0, "misses": 0, "energy_inside": None}
    assert pointing_game(maps[3:], masks[3:]) == empty
