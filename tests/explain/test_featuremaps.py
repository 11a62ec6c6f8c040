from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kdray.net import Net, Wants, look

CLASSES = torch.tensor([[0], [1]])
RED = (slice(0, 4), slice(12, 16))
Maps = Callable[..., Tensor]


def peaks_inside(heat: Tensor, patch: tuple[slice, slice]) -> bool:
    inside = torch.zeros_like(heat, dtype=torch.bool)
    inside[patch] = True
    return bool(heat[inside].max() > heat[~inside].max())


def test_the_average_feature_map_peaks_at_the_brightest_patch_of_any_class(
    net: Net, images: Tensor, maps_of: Maps
) -> None:
    part = "featuremaps"
    for heat in maps_of(part, net, images):
        assert peaks_inside(heat, RED)


def test_the_average_feature_map_is_the_mean_over_channels_at_the_tap(
    net: Net, images: Tensor, maps_of: Maps
) -> None:
    part = "featuremaps"
    grid = look(net, images[:1], Wants(("stage1",))).maps["stage1"].detach().numpy()[0]
    mean = (grid[0] + grid[1]) / 2
    heat = maps_of(part, net, images[:1], CLASSES[:1], tap="stage1")[0]
    # The 4 x 4 map is enlarged four times: the corner pixels keep the corner values.
    scaled = (mean - mean.min()) / (mean.max() - mean.min())
    assert float(heat[0, 15]) == pytest.approx(scaled[0, 3])
    assert float(heat[15, 0]) == pytest.approx(scaled[3, 0])
