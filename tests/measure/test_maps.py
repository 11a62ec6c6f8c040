from __future__ import annotations

import numpy as np
import pytest

from kdray.measure import on_grid, random_maps
from kdray.measure._maps import ssim, usable


def test_a_map_is_averaged_down_to_the_grid() -> None:
    maps = np.random.default_rng(0).random((2, 12, 8))
    found = on_grid(maps, 4)
    wanted = maps.reshape(2, 4, 3, 4, 2).mean(axis=(2, 4))
    assert found == pytest.approx(wanted, abs=1e-6)


def test_a_small_map_stays_as_it_is() -> None:
    maps = np.random.default_rng(0).random((1, 3, 3)).astype(np.float32)
    assert np.array_equal(on_grid(maps, 4), maps)


def test_a_map_without_values_stays_without_values() -> None:
    maps = np.stack([np.full((8, 8), np.nan), np.eye(8)])
    assert usable(on_grid(maps, 4)).tolist() == [False, True]


def test_constant_and_infinite_maps_show_nothing() -> None:
    maps = np.stack([np.eye(3), np.ones((3, 3)), np.where(np.eye(3) > 0, np.inf, 0)])
    assert usable(maps).tolist() == [True, False, False]


def test_random_maps_come_from_their_seed_and_fill_0_to_1() -> None:
    maps = random_maps(3, 32, seed=5)
    assert maps.shape == (3, 32, 32)
    assert np.array_equal(maps, random_maps(3, 32, seed=5))
    assert not np.array_equal(maps, random_maps(3, 32, seed=6))
    assert maps.min(axis=(1, 2)).tolist() == [0.0] * 3
    assert maps.max(axis=(1, 2)).tolist() == [1.0] * 3


def test_random_maps_are_as_smooth_as_their_cells_are_few() -> None:
    fine, coarse = (
        np.abs(np.diff(random_maps(8, 32, seed=0, cells=cells))).mean() for cells in (14, 4)
    )
    assert coarse < fine


@pytest.mark.parametrize("size", [(2, 2), (7, 9), (11, 11), (33, 56)])
def test_the_ssim_of_many_pairs_is_skimages_of_each(size: tuple[int, int]) -> None:
    from skimage.metrics import structural_similarity

    random = np.random.default_rng(0)
    ours = random.random((40, *size)).astype(np.float32)
    theirs = (0.5 * ours + 0.5 * random.random((40, *size))).astype(np.float32)
    theirs[3] = 0.5
    window = 2 * min(5, (min(size) - 1) // 2) + 1
    how = {"data_range": 1.0, "gaussian_weights": True, "win_size": window}
    each = [
        structural_similarity(
            one.astype(np.float64),
            other.astype(np.float64),
            use_sample_covariance=False,
            **how,
        )
        for one, other in zip(ours, theirs, strict=True)
    ]
    each[3] = np.nan  # a blank map
    assert ssim(ours, theirs) == pytest.approx(np.array(each), nan_ok=True, abs=1e-12)
