from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from kdray.maps import Raw, blank_reasons, scaled, shown
from kdray.maps.scaling import between_centres, between_corners, shrinking


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def test_maps_come_out_at_the_size_of_the_image_and_from_0_to_1() -> None:
    maps = scaled(np.array([[[[-3.0, 1.0], [2.0, 5.0]]]], np.float32), (6, 8))
    assert maps.shape == (1, 1, 6, 8)
    assert maps.dtype == np.float32
    assert (float(maps.min()), float(maps.max())) == (0.0, 1.0)


def test_each_map_has_its_own_scale() -> None:
    maps = np.array([[[[0.0, 1.0]], [[0.0, 1000.0]]]], np.float32)
    np.testing.assert_array_equal(*scaled(maps, (1, 2))[0])


def test_enlarging_is_bilinear_between_pixel_centres() -> None:
    maps = scaled(np.array([[[[0.0, 1.0]]]], np.float32), (1, 4))
    assert maps[0, 0, 0].tolist() == pytest.approx([0.0, 0.25, 0.75, 1.0])


@pytest.mark.parametrize(("cells", "pixels"), [(7, 224), (1, 5), (5, 1), (9, 9), (10, 4)])
def test_axes_are_enlarged_as_by_pytorch(cells: int, pixels: int) -> None:
    lines = torch.eye(cells)[None]
    for ours, corners in ((between_centres, None), (between_corners, True)):
        theirs = interpolate(lines, pixels, mode="linear", align_corners=corners)[0].T
        np.testing.assert_allclose(ours(cells, pixels), theirs, atol=1e-5)


@pytest.mark.parametrize(("cells", "fewer"), [(56, 14), (15, 14), (9, 4), (4, 4)])
def test_axes_shrink_as_by_pytorch(cells: int, fewer: int) -> None:
    maps = drawn(3, cells, cells)
    share = shrinking(cells, fewer)
    theirs = adaptive_avg_pool2d(torch.from_numpy(maps)[None], (fewer, fewer))[0]
    np.testing.assert_allclose(share @ maps @ share.T, theirs, atol=1e-5)


def test_a_constant_map_is_blank_with_its_value() -> None:
    maps = drawn(3, 2, 4, 4)
    maps[2, 1] = 0.25
    assert blank_reasons(maps) == {(2, 1): "the map is blank: every value is 0.25."}


def test_rounding_noise_on_a_constant_map_is_still_blank() -> None:
    assert list(blank_reasons(7.0 + 1e-6 * drawn(1, 1, 4, 4))) == [(0, 0)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_map_that_is_not_finite_is_blank(value: float) -> None:
    maps = drawn(2, 1, 4, 4)
    maps[1, 0, 0] = value
    assert blank_reasons(maps) == {(1, 0): "the map holds NaN or infinite values."}


def test_maps_that_show_nothing_are_not_drawn_and_the_method_knows_why() -> None:
    maps = drawn(1, 3, 4, 4)
    maps[0, 1:] = 1.0
    full, reasons = shown(Raw(maps, 1, reasons={(0, 2): "mine"}), (8, 8))
    assert np.isfinite(full[0, 0]).all()
    assert np.isnan(full[0, 1:]).all()
    assert reasons == {(0, 1): "the map is blank: every value is 1.", (0, 2): "mine"}
