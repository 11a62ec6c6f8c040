"""What every explanation owes, and that the class activation maps follow the class."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from kdray import parts
from kdray.errors import ExplainError, ModelError
from kdray.explain._maps import finished
from kdray.net import Net, Tap, Wants, look

NAMES = parts.names("explain")
CAMS = [name for name in NAMES if name.endswith("cam")]
RED, GREEN = (slice(0, 4), slice(12, 16)), (slice(8, 12), slice(0, 4))
TARGET = torch.tensor([0, 1])


@pytest.fixture(params=NAMES)
def part(request: pytest.FixtureRequest) -> ModuleType:
    return parts.load("explain", request.param)


@pytest.fixture(params=CAMS)
def cam(request: pytest.FixtureRequest) -> ModuleType:
    return parts.load("explain", request.param)


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
    part: ModuleType, net: Net, images: Tensor
) -> None:
    maps = part.explain(part.Params(), net, images, TARGET)
    assert maps.shape == (2, 16, 16)
    assert maps.dtype == torch.float32
    assert maps.amin(dim=(1, 2)).tolist() == [0.0, 0.0]
    assert maps.amax(dim=(1, 2)).tolist() == [1.0, 1.0]


def test_the_map_of_each_class_peaks_at_the_patch_that_decides_it(
    cam: ModuleType, net: Net, images: Tensor
) -> None:
    red, green = cam.explain(cam.Params(), net, images, TARGET)
    assert peaks_inside(red, RED)
    assert peaks_inside(green, GREEN)


def test_the_average_feature_map_peaks_at_the_brightest_patch_of_any_class(
    net: Net, images: Tensor
) -> None:
    part = parts.load("explain", "featuremaps")
    for heat in part.explain(part.Params(), net, images, TARGET):
        assert peaks_inside(heat, RED)


def test_the_average_feature_map_is_the_mean_over_channels_at_the_tap(
    net: Net, images: Tensor
) -> None:
    part = parts.load("explain", "featuremaps")
    grid = look(net, images[:1], Wants(("stage1",))).maps["stage1"].detach().numpy()[0]
    mean = (grid[0] + grid[1]) / 2
    heat = part.explain(part.Params(tap="stage1"), net, images[:1], TARGET[:1])[0]
    # The 4 x 4 map is enlarged four times: the corner pixels keep the corner values.
    scaled = (mean - mean.min()) / (mean.max() - mean.min())
    assert float(heat[0, 15]) == pytest.approx(scaled[0, 3])
    assert float(heat[15, 0]) == pytest.approx(scaled[3, 0])


@pytest.mark.parametrize("layout", ["NHWC", "tokens"])
def test_other_layouts_give_the_same_maps(
    part: ModuleType, build: Callable[..., Net], images: Tensor, layout: str
) -> None:
    expected = part.explain(part.Params(), build(), images, TARGET)
    found = part.explain(part.Params(), build(layout), images, TARGET)
    torch.testing.assert_close(found, expected)


def test_the_network_is_left_as_it_was(part: ModuleType, net: Net, images: Tensor) -> None:
    net.module.train()
    net.module.get_submodule("seen").eval()
    for weight in net.module.parameters():
        weight.grad = torch.ones_like(weight)
    before = state(net)
    part.explain(part.Params(), net, images, TARGET)
    assert state(net) == before


def test_the_network_is_left_as_it_was_by_a_failure(
    part: ModuleType, net: Net, images: Tensor
) -> None:
    before = state(net)
    with pytest.raises(ExplainError):
        part.explain(part.Params(), net, torch.zeros_like(images), TARGET)
    with pytest.raises((RuntimeError, ValueError)):
        part.explain(part.Params(), net, images[:, :1], TARGET)
    assert state(net) == before


def test_a_frozen_network_under_inference_mode_is_explained_too(
    part: ModuleType, net: Net, images: Tensor
) -> None:
    expected = part.explain(part.Params(), net, images, TARGET)
    net.module.requires_grad_(False)
    with torch.inference_mode():
        found = part.explain(part.Params(), net, images + 0, TARGET)
    torch.testing.assert_close(found, expected)


def test_a_blank_map_is_an_error_that_names_the_image(
    part: ModuleType, net: Net, images: Tensor
) -> None:
    images[1] = 0.0
    with pytest.raises(ExplainError, match=r"image 1: the map is blank"):
        part.explain(part.Params(), net, images, TARGET)


def test_an_unknown_tap_is_an_error_that_lists_the_taps(
    part: ModuleType, net: Net, images: Tensor
) -> None:
    with pytest.raises(ModelError, match=r"tap 'stage9'.*It has: cam, stage1"):
        part.explain(part.Params(tap="stage9"), net, images, TARGET)


def test_score_cam_does_not_depend_on_its_batch_size(net: Net, images: Tensor) -> None:
    part = parts.load("explain", "scorecam")
    one = part.explain(part.Params(batch_size=1), net, images, TARGET)
    torch.testing.assert_close(one, part.explain(part.Params(), net, images, TARGET))


def test_score_cam_prints_no_progress_bar(
    net: Net, images: Tensor, capfd: pytest.CaptureFixture[str]
) -> None:
    part = parts.load("explain", "scorecam")
    part.explain(part.Params(), net, images, TARGET)
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def random_net() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, head = nn.Conv2d(3, 6, 3, stride=4), nn.Linear(6 * 4 * 4, 3)
        first.bias.data += 0.5  # mostly positive maps and gradients: an untrained network's
        head.weight.data += 0.02  # may all be negative, and its map blank
        module = nn.Sequential(first, nn.ReLU(inplace=True), nn.Flatten(), head)
    return Net(module.eval(), {"cam": Tap("0")})


def test_grad_cam_is_its_equation_differentiated_through_the_whole_network(
    random_net: Net, images: Tensor
) -> None:
    first, _, _, head = random_net.module.double()
    maps = first(images.double())
    maps.retain_grad()
    logits = head(maps.relu().flatten(1))
    (logits[0, 0] + logits[1, 1]).backward()
    weights = maps.grad.mean(dim=(2, 3), keepdim=True)
    expected = finished((weights * maps).sum(dim=1).relu(), (16, 16), "expected")
    random_net.module.float()
    part = parts.load("explain", "gradcam")
    found = part.explain(part.Params(), random_net, images, TARGET)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_score_cam_is_its_algorithm_with_a_softmax_of_logits(
    random_net: Net, images: Tensor
) -> None:
    module = random_net.module.double()
    image = images[:1].double()
    maps = module[0](image).detach()[0]
    logits = []
    for channel in maps:
        mask = interpolate(channel[None, None], (16, 16), mode="bilinear", align_corners=True)
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        logits.append(module(image * mask)[0, 1].item())
    weights = torch.tensor(logits).double().softmax(dim=0)
    heat = torch.einsum("k,khw->hw", weights, maps).relu()
    expected = finished(heat[None], (16, 16), "expected")
    random_net.module.float()
    part = parts.load("explain", "scorecam")
    found = part.explain(part.Params(), random_net, images[:1], TARGET[1:])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
