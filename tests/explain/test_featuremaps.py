from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kdray.explain import Subject, layer_maps
from kdray.net import Net, Tap, Wants, look

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


def test_the_maps_of_all_layers_come_from_one_forward_pass(net: Net, images: Tensor) -> None:
    passes: list[int] = []
    net.module.register_forward_hook(lambda *_: passes.append(1))
    taps, maps = layer_maps(Subject(net), images)
    seen = look(net, images, Wants(("stage1",))).maps["stage1"]
    assert taps == ["stage1"]
    torch.testing.assert_close(maps[0], seen.mean(1))
    assert len(passes) == 2


def test_layers_stand_in_their_order_without_those_of_a_single_cell() -> None:
    pools = torch.nn.Sequential(*(torch.nn.MaxPool2d((2, 1)) for _ in range(11)))
    taps = {f"stage{place + 1}": Tap(str(place)) for place in reversed(range(11))}
    net = Net(pools, {**taps, "cam": Tap("9")})
    names, maps = layer_maps(Subject(net), torch.randn(1, 3, 2**11, 1))
    assert names == [f"stage{number}" for number in range(1, 11)]
    assert [one.shape[1] for one in maps] == [2**power for power in range(10, 0, -1)]


def test_named_layers_are_given_as_asked(net: Net, images: Tensor) -> None:
    taps, maps = layer_maps(Subject(net), images, ("cam", "stage1"))
    assert taps == ["cam", "stage1"]
    assert len(maps) == 2
