from __future__ import annotations

import pytest
import torch
from captum.attr import Occlusion
from pydantic import ValidationError
from torch import Tensor, nn

from kdray.explain import Subject, explain_with
from kdray.explain.occlusion import Params, explain
from kdray.net import Net

CLASSES = torch.tensor([[0, 2], [1, 1]])


def made(channels: int = 3) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = nn.Conv2d(channels, 6, 3, stride=2)
        return Net(nn.Sequential(first, nn.GELU(), nn.Flatten(), nn.Linear(6 * 36, 3)))


def pixels(channels: int = 3) -> Tensor:
    return torch.randn(2, channels, 14, 14, generator=torch.Generator().manual_seed(1))


def raw(net: Net, images: Tensor, **params: object) -> Tensor:
    found = explain(Params.model_validate(params), Subject(net), images, CLASSES)
    return torch.from_numpy(found.maps)


@pytest.mark.parametrize(("window", "stride", "px"), [(0.3, 0.2, (4, 3)), (0.5, 0.5, (7, 7))])
@pytest.mark.parametrize("channels", [1, 3])
def test_maps_are_captums_occlusion(
    window: float, stride: float, px: tuple[int, int], channels: int
) -> None:
    net, images = made(channels), pixels(channels)
    ours = raw(net, images, window=window, stride=stride, sign="absolute")
    for place in range(2):
        theirs = Occlusion(net.module.eval()).attribute(
            images, (channels, px[0], px[0]), (channels, px[1], px[1]), target=CLASSES[:, place]
        )
        torch.testing.assert_close(ours[:, place], theirs.mean(1).abs(), rtol=1e-3, atol=1e-5)


def test_the_positive_part_is_what_speaks_for_the_class() -> None:
    net, images = made(), pixels()
    theirs = Occlusion(net.module.eval()).attribute(images, (3, 4, 4), (3, 3, 3), target=[0, 1])
    ours = raw(net, images, window=0.3, stride=0.2)
    torch.testing.assert_close(ours[:, 0], theirs[:, 0].relu(), rtol=1e-3, atol=1e-5)


def test_the_probability_of_the_class_can_be_followed() -> None:
    net, images = made(), pixels()
    shares = nn.Sequential(net.module, nn.Softmax(1)).eval()
    theirs = Occlusion(shares).attribute(images, (3, 4, 4), (3, 3, 3), target=[0, 1])
    ours = raw(net, images, window=0.3, stride=0.2, score="probability", sign="absolute")
    torch.testing.assert_close(ours[:, 0], theirs[:, 0].abs(), rtol=1e-3, atol=1e-5)


def test_the_darkest_colour_of_each_image_can_hide_it() -> None:
    net, images = made(), pixels()
    darkest = images.amin((2, 3), keepdim=True).expand_as(images)
    theirs = Occlusion(net.module.eval()).attribute(
        images, (3, 4, 4), (3, 3, 3), baselines=darkest, target=[0, 1]
    )
    ours = raw(net, images, window=0.3, stride=0.2, baseline="darkest", sign="absolute")
    torch.testing.assert_close(ours[:, 0], theirs[:, 0].abs(), rtol=1e-3, atol=1e-5)


def test_all_classes_share_the_forward_passes() -> None:
    found = explain_with("occlusion-sensitivity", Subject(made()), pixels(), CLASSES)
    windows = 13  # 2 px wide, 1 px apart, over 14 px
    assert found.forwards == 2 * (windows**2 + 1)


def test_a_class_that_nothing_speaks_for_has_a_reason() -> None:
    class Darkness(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([-images.square().sum((1, 2, 3))] * 3, dim=1)

    found = explain_with("occlusion", Subject(Net(Darkness())), pixels(), CLASSES)
    assert list(found.degenerate) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all("hiding no part of the image lowers" in one for one in found.degenerate.values())


def test_what_rounding_leaves_of_a_sure_probability_is_no_map() -> None:
    class Sure(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            sure = 16.5 + images.square().mean((1, 2, 3))
            return torch.stack([sure, *2 * [torch.zeros_like(sure)]], dim=1)

    net, images = Net(Sure()), pixels()
    probabilities = net.module(torch.cat([images, 0 * images])).softmax(1)[:, 0]
    assert 0 < probabilities.max() - probabilities.min() < 1e-6
    for method in ("occlusion", "kernel-shap"):
        settings = {"score": "probability", "sign": "absolute"}
        found = explain_with(method, Subject(net), images, CLASSES[:1, :1].expand(2, 1), settings)
        assert list(found.degenerate) == [(0, 0), (1, 0)]


def test_a_stride_wider_than_the_window_is_refused() -> None:
    with pytest.raises(ValidationError, match="would never be hidden"):
        Params(window=0.1, stride=0.2)
    with pytest.raises(ValidationError, match="would never be hidden"):
        Params(window=0.05)
