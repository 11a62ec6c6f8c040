from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from kdray import parts
from kdray.explain import Explanation
from kdray.net import Net, Tap

SPOT = (slice(4, 8), slice(8, 12))


def linear(width: int) -> Net:
    """Return a net whose maps are the image's cells times fixed numbers of either sign."""
    maps = nn.Conv2d(1, width, 4, stride=4, bias=False)
    with torch.no_grad():
        maps.weight[:] = torch.linspace(-3, 1, width)[:, None, None, None]
    module = nn.Sequential(maps, nn.Flatten(), nn.Linear(width * 16, 3))
    return Net(module, {"cam": Tap("0")})


@pytest.mark.parametrize("width", [5, 40])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_place_that_differs_most_is_bright_whatever_its_sign(
    explain: Callable[..., Explanation], width: int, sign: float
) -> None:
    images = torch.zeros(1, 1, 16, 16)
    images[(0, 0, *SPOT)] = sign
    heat = explain("eigencam", linear(width), images, torch.tensor([[0]])).checked().maps[0, 0]
    assert heat[5:7, 9:11].min() > 0.7
    assert heat[:, :4].max() == 0.0


def test_the_map_is_the_same_for_every_class_and_costs_one_forward_pass(
    explain: Callable[..., Explanation],
) -> None:
    images = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    found = explain("eigencam", linear(5), images, torch.tensor([[0, 2]]))
    assert (found.maps[0, 0] == found.maps[0, 1]).all()
    assert found.forwards == 1
    assert parts.header("explain", "eigencam").constants["CLASSWISE"] is False


def test_equal_places_have_no_component(explain: Callable[..., Explanation]) -> None:
    found = explain("eigencam", linear(5), torch.ones(1, 1, 16, 16), torch.tensor([[0]]))
    assert found.degenerate[0, 0].startswith("the map is blank")
