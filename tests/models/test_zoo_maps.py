"""Whether the map of each model of the papers can explain it: never blank by its structure.

The networks are real, with quick random weights: the structure is tested, not the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from kdray import parts
from kdray.explain import Subject, explain_with
from kdray.explain._head import gradients_of, head_from
from kdray.models import build_model
from kdray.net import Net, Tap

NAMES = list(parts.presets("models"))
SIZE, CLASSES = 64, 7
#: The maps that need gradients, and those that know no class.
BY_GRADIENT = ("gradcam", "gradcampp", "layercam")
WITHOUT = ("eigencam", "featuremaps")
#: Random numbers that would take longer than the forward passes, left out.
SLOW = 20_000


class QuickWeights(TorchDispatchMode):
    """Leaves large tensors as they are where random numbers are asked for."""

    def __torch_dispatch__(
        self, function: Any, _types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        if function.__name__ in RANDOM and arguments[0].numel() > SLOW:
            return arguments[0]
        return function(*arguments, **(named or {}))


RANDOM = ("normal_.default", "uniform_.default", "erfinv_.default", "clamp_.default")


@dataclass(frozen=True)
class Shown:
    """What a model shows of one image for a class and its opposite.

    Args:
        grid: Rows and columns of the tap.
        strength: Largest absolute gradient there, of either class.
        blank: Method -> place in the classes -> why that map is blank.
    """

    grid: tuple[int, int]
    strength: float
    blank: Mapping[str, Mapping[int, str]]


def quick(name: str) -> Net:
    """Return a model whose second class is the opposite of its first."""
    with QuickWeights():
        net = build_model(name, {}, channels=3, classes=CLASSES, image_size=SIZE)
    random = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    with torch.no_grad():
        for weight in net.module.parameters():
            if weight.ndim > 1:
                deviation = (2 / weight[0].numel()) ** 0.5
                for piece in weight.view(-1).split(random.numel()):
                    torch.mul(random[: piece.numel()], deviation, out=piece)
        for layer in net.module.modules():
            if isinstance(layer, nn.Linear) and layer.out_features == CLASSES:
                layer.weight[1] = -layer.weight[0]
    return net


def image() -> Tensor:
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def shown(net: Net, methods: tuple[str, ...] = (*BY_GRADIENT, *WITHOUT)) -> Shown:
    subject, classes = Subject(net, "torch"), torch.tensor([[0, 1]])
    head = head_from(subject, "cam", image())
    blank = {
        method: {
            place: reason
            for (_, place), reason in explain_with(
                method, subject, image(), classes
            ).degenerate.items()
        }
        for method in methods
    }
    strength = float(gradients_of(head, classes).abs().max())
    return Shown((head.maps.shape[2], head.maps.shape[3]), strength, blank)


@cache
def seen(name: str) -> Shown:
    return shown(quick(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_map_of_every_model_has_places_on_which_its_answer_depends(name: str) -> None:
    found = seen(name)
    assert min(found.grid) > 1
    assert found.strength > 0


@pytest.mark.parametrize("name", NAMES)
def test_of_a_class_and_its_opposite_every_model_shows_one_by_grad_cam(name: str) -> None:
    # Their weighted sums differ by the sign alone: both are blank only where all sums are 0.
    assert len(seen(name).blank["gradcam"]) < 2


@pytest.mark.parametrize("name", NAMES)
def test_maps_that_know_no_class_are_never_blank(name: str) -> None:
    assert [seen(name).blank[method] for method in WITHOUT] == [{}, {}]


@pytest.mark.parametrize("name", NAMES)
def test_a_blank_map_of_random_weights_says_that_no_place_speaks_for_the_class(name: str) -> None:
    reasons = [why for method in BY_GRADIENT for why in seen(name).blank[method].values()]
    assert all("no place speaks for the class" in reason for reason in reasons)


class TwoChannels(Tap):
    """A tap that shows two of its channels, so that Score-CAM has little to do."""

    def as_maps(self, output: Tensor) -> Tensor:
        return super().as_maps(output)[:, 1:3]


@pytest.mark.parametrize(
    "name", ["mobilenetv3_small", "ghostnet_100", "cskd_tiny", "autoformer_v2_t", "hdkd"]
)
def test_score_cam_masks_the_image_by_the_maps_of_every_layout(name: str) -> None:
    net = quick(name)
    cam = net.taps["cam"]
    net = replace(net, taps={"cam": TwoChannels(cam.path, cam.layout, cam.grid, cam.prefix)})
    classes = torch.tensor([[0, 1]])
    found = explain_with("scorecam", Subject(net, "torch"), image(), classes)
    assert found.maps.shape == (1, 2, SIZE, SIZE)
    assert found.forwards == 3


@pytest.mark.parametrize(
    ("name", "tap"),
    [
        ("mobilenetv3_small", Tap("conv_head")),
        ("ghostnet_100", Tap("conv_head")),
        ("cskd_tiny", Tap("norm", "tokens", (4, 4), 2)),
        ("cskd_tiny", Tap("blocks.11", "tokens", (4, 4), 2)),
        ("hdkd", Tap("transformer.norm", "tokens", (4, 4), 2)),
        ("pvt_tiny", Tap("norm", "tokens", (2, 2), 1)),
    ],
)
def test_a_layer_without_places_or_without_gradients_is_found_out(name: str, tap: Tap) -> None:
    found = shown(replace(quick(name), taps={"cam": tap}), BY_GRADIENT)
    assert min(found.grid) == 1 or found.strength == 0
    reasons = [why for method in BY_GRADIENT for why in found.blank[method].values()]
    assert len(reasons) == 2 * len(BY_GRADIENT)
    assert all("single place" in why or "all gradients" in why for why in reasons)
