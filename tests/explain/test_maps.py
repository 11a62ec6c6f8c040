from __future__ import annotations

import pytest
import torch

from kdray.errors import ExplainError
from kdray.explain._maps import finished, refuse_blank


def test_maps_come_out_at_the_size_of_the_image_and_from_0_to_1() -> None:
    maps = finished(torch.tensor([[[-3.0, 1.0], [2.0, 5.0]]]), (6, 8), "m")
    assert maps.shape == (1, 6, 8)
    assert maps.dtype == torch.float32
    assert (float(maps.min()), float(maps.max())) == (0.0, 1.0)


def test_each_map_has_its_own_scale() -> None:
    maps = torch.tensor([[[0.0, 1.0]], [[0.0, 1000.0]]])
    assert torch.equal(*finished(maps, (1, 2), "m"))


def test_enlarging_is_bilinear_between_pixel_centres() -> None:
    maps = finished(torch.tensor([[[0.0, 1.0]]]), (1, 4), "m")
    assert maps[0, 0].tolist() == pytest.approx([0.0, 0.25, 0.75, 1.0])


def test_a_constant_map_is_refused_with_its_image_and_value() -> None:
    maps = torch.rand(3, 4, 4)
    maps[2] = 0.25
    with pytest.raises(ExplainError, match=r"scorecam, image 2: .* every value is 0\.25"):
        refuse_blank(maps, "scorecam")


def test_rounding_noise_on_a_constant_map_is_still_blank() -> None:
    noisy = 7.0 + 1e-6 * torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ExplainError, match="blank"):
        refuse_blank(noisy, "m")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_map_that_is_not_finite_is_refused_with_its_image(value: float) -> None:
    maps = torch.rand(2, 4, 4)
    maps[1, 0, 0] = value
    with pytest.raises(ExplainError, match="m, image 1: the map holds NaN or infinite"):
        refuse_blank(maps, "m")
