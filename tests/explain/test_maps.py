from __future__ import annotations

import pytest
import torch

from kdray.explain._maps import blank_reasons, scaled


def test_maps_come_out_at_the_size_of_the_image_and_from_0_to_1() -> None:
    maps = scaled(torch.tensor([[[[-3.0, 1.0], [2.0, 5.0]]]]), (6, 8))
    assert maps.shape == (1, 1, 6, 8)
    assert maps.dtype == torch.float32
    assert (float(maps.min()), float(maps.max())) == (0.0, 1.0)


def test_each_map_has_its_own_scale() -> None:
    maps = torch.tensor([[[[0.0, 1.0]], [[0.0, 1000.0]]]])
    assert torch.equal(*scaled(maps, (1, 2))[0])


def test_enlarging_is_bilinear_between_pixel_centres() -> None:
    maps = scaled(torch.tensor([[[[0.0, 1.0]]]]), (1, 4))
    assert maps[0, 0, 0].tolist() == pytest.approx([0.0, 0.25, 0.75, 1.0])


def test_a_constant_map_is_blank_with_its_value() -> None:
    maps = torch.rand(3, 2, 4, 4)
    maps[2, 1] = 0.25
    assert blank_reasons(maps) == {(2, 1): "the map is blank: every value is 0.25."}


def test_rounding_noise_on_a_constant_map_is_still_blank() -> None:
    noisy = 7.0 + 1e-6 * torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert list(blank_reasons(noisy)) == [(0, 0)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_map_that_is_not_finite_is_blank(value: float) -> None:
    maps = torch.rand(2, 1, 4, 4)
    maps[1, 0, 0] = value
    assert blank_reasons(maps) == {(1, 0): "the map holds NaN or infinite values."}
