"""What every explanation owes, and that the class activation maps follow the class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from kdray import parts
from kdray.errors import ExplainError, ModelError
from kdray.explain import Explanation
from kdray.net import Net

NAMES = parts.names("explain")
HEADERS = {name: parts.header("explain", name) for name in NAMES}
CLASSWISE = [name for name in NAMES if HEADERS[name].constants.get("CLASSWISE", True)]
TAPPED = [name for name in NAMES if "tap" in HEADERS[name].Params.model_fields]
RED, GREEN = (slice(0, 4), slice(12, 16)), (slice(8, 12), slice(0, 4))
Maps = Callable[..., Tensor]
CLASSES = torch.tensor([[0], [1]])


@pytest.fixture(params=NAMES)
def part(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=CLASSWISE)
def classwise(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def peaks_inside(heat: Tensor, patch: tuple[slice, slice]) -> bool:
    inside = torch.zeros_like(heat, dtype=torch.bool)
    inside[patch] = True
    return bool(heat[inside].max() > heat[~inside].max())


def state(net: Net) -> list[object]:
    weights = [(w.requires_grad, w.grad is None, w.clone()) for w in net.module.parameters()]
    hooks = [
        (len(m._forward_hooks), len(m._backward_hooks), m.training) for m in net.module.modules()
    ]
    return [str(weights), hooks]


def test_maps_have_the_size_of_the_image_and_reach_from_0_to_1(
    part: str, net: Net, images: Tensor, maps_of: Maps
) -> None:
    maps = maps_of(part, net, images)
    assert maps.shape == (2, 16, 16)
    assert maps.dtype == torch.float32
    assert maps.amin(dim=(1, 2)).tolist() == [0.0, 0.0]
    assert maps.amax(dim=(1, 2)).tolist() == [1.0, 1.0]


def test_the_map_of_each_class_peaks_at_the_patch_that_decides_it(
    classwise: str, net: Net, images: Tensor, maps_of: Maps
) -> None:
    red, green = maps_of(classwise, net, images)
    assert peaks_inside(red, RED)
    assert peaks_inside(green, GREEN)


@pytest.mark.parametrize("layout", ["NHWC", "tokens"])
def test_other_layouts_give_the_same_maps(
    part: str, build: Callable[..., Net], images: Tensor, layout: str, maps_of: Maps
) -> None:
    expected = maps_of(part, build(), images)
    found = maps_of(part, build(layout), images)
    torch.testing.assert_close(found, expected)


def test_the_network_is_left_as_it_was(part: str, net: Net, images: Tensor, maps_of: Maps) -> None:
    net.module.requires_grad_(False)
    before = state(net)
    maps_of(part, net, images)
    assert state(net) == before


def test_the_network_is_left_as_it_was_by_a_failure(
    part: str, net: Net, images: Tensor, maps_of: Maps
) -> None:
    net.module.requires_grad_(False)
    before = state(net)
    with pytest.raises(ExplainError):
        maps_of(part, net, torch.zeros_like(images))
    with pytest.raises((RuntimeError, ValueError)):
        maps_of(part, net, images[:, :1])
    assert state(net) == before


def test_a_frozen_network_under_inference_mode_is_explained_too(
    part: str, net: Net, images: Tensor, maps_of: Maps
) -> None:
    expected = maps_of(part, net, images)
    net.module.requires_grad_(False)
    with torch.inference_mode():
        found = maps_of(part, net, images + 0)
    torch.testing.assert_close(found, expected)


def test_a_blank_map_is_an_error_that_names_the_image(
    part: str, net: Net, images: Tensor, maps_of: Maps
) -> None:
    images[1] = 0.0
    with pytest.raises(ExplainError, match=r"image 1, class 1: the map is blank"):
        maps_of(part, net, images)


@pytest.mark.parametrize("name", TAPPED)
def test_an_unknown_tap_is_an_error_that_lists_the_taps(
    name: str, net: Net, images: Tensor, maps_of: Maps
) -> None:
    with pytest.raises(ModelError, match=r"tap 'stage9'.*It has: cam, stage1"):
        maps_of(name, net, images, tap="stage9")


def test_maps_do_not_depend_on_the_class_where_a_part_says_so(
    part: str, net: Net, images: Tensor, maps_of: Maps
) -> None:
    one, other = (maps_of(part, net, images[:1], torch.tensor([[k]])) for k in (0, 1))
    assert torch.equal(one, other) is (part not in CLASSWISE)


def test_many_classes_have_the_maps_of_each_alone(
    part: str, net: Net, images: Tensor, explain: Callable[..., Explanation]
) -> None:
    both = explain(part, net, images[:1], torch.tensor([[1, 0]])).checked()
    for place, index in enumerate((1, 0)):
        alone = explain(part, net, images[:1], torch.tensor([[index]])).checked()
        np.testing.assert_allclose(both.maps[:, place], alone.maps[:, 0], atol=1e-5)


def test_each_part_says_what_it_costs_and_what_else_it_is_called(part: str) -> None:
    assert HEADERS[part].constants["COST"]
    assert HEADERS[part].constants["PRESETS"]
