from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from kdray.explain import Subject, explain_with
from kdray.maps import scaled
from kdray.maps.masks import masks_of, nowhere_positive, weighted
from kdray.net import Net, Tap

CLASSES = torch.tensor([[0], [1]])
RED = (slice(0, 4), slice(12, 16))
Maps = Callable[..., Tensor]


def test_score_cam_does_not_depend_on_its_batch_size(
    net: Net, images: Tensor, maps_of: Maps
) -> None:
    part = "scorecam"
    one = maps_of(part, net, images, batch_size=1)
    torch.testing.assert_close(one, maps_of(part, net, images))


def test_score_cam_prints_no_progress_bar(
    net: Net, images: Tensor, capfd: pytest.CaptureFixture[str], maps_of: Maps
) -> None:
    part = "scorecam"
    maps_of(part, net, images)
    assert capfd.readouterr() == ("", "")


def test_score_cam_is_its_algorithm_with_a_softmax_of_logits(
    random_net: Net, images: Tensor, maps_of: Maps
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
    expected = torch.from_numpy(scaled(heat[None, None].numpy(), (16, 16)))[:, 0]
    random_net.module.float()
    part = "scorecam"
    found = maps_of(part, random_net, images[:1], CLASSES[1:])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def hard_swish_net(channels: int = 12) -> Net:
    """Return a net whose channels may be negative, with constant, zero and equal ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = nn.Conv2d(3, channels, 3, stride=3)
        with torch.no_grad():
            first.weight[0] = first.bias[0] = 0.0  # a channel of zeros
            first.weight[1], first.bias[1] = 0.0, 4.0  # a constant one; enlarged without rounding
            first.weight[3], first.bias[3] = first.weight[2], first.bias[2]  # two equal ones
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3))
        head[2].weight.data *= 20
        module = nn.Sequential(first, nn.Hardswish(), *head)
    return Net(module.eval(), {"cam": Tap("1")})


@pytest.fixture
def photos() -> Tensor:
    return torch.randn(2, 3, 18, 18, generator=torch.Generator().manual_seed(1))


def test_score_cam_is_that_of_pytorch_grad_cam(photos: Tensor) -> None:
    from pytorch_grad_cam import ScoreCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net, classes = hard_swish_net(), torch.tensor([[0, 1, 2], [2, 1, 0]])
    found = explain_with("scorecam", Subject(net), photos, classes)
    theirs = ScoreCAM(net.module, [net.layer("cam")])
    compared = 0
    for (image, place), klass in np.ndenumerate(classes.numpy()):
        expected = theirs(photos[image : image + 1], [ClassifierOutputTarget(klass)])[0]
        assert ((image, place) in found.degenerate) == (expected.std() == 0)
        if expected.std():
            ours = found.maps[image, place]
            assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.9999
            compared += 1
    assert compared >= 3


def test_constant_and_equal_channels_share_forward_passes(photos: Tensor) -> None:
    found = explain_with("scorecam", Subject(hard_swish_net()), photos, CLASSES)
    # The layer's own pass; of 12 channels two are constant and two equal.
    assert found.forwards == 2 * (1 + 10)


def test_a_constant_channel_keeps_its_weight_and_its_part() -> None:
    maps = np.stack([np.full((2, 2), 3.0), np.eye(2)]).astype(np.float32)
    masks = masks_of(maps, (8, 8))
    assert np.abs(masks[0]).max() == 0
    scores = np.array([[1.0], [1.0]], np.float32)
    np.testing.assert_allclose(weighted(scores, maps)[0], (3.0 + np.eye(2)) / 2)


@pytest.mark.parametrize(("small", "large"), [(4, 17), (7, 224), (5, 5), (9, 4), (1, 6)])
def test_masks_reach_from_0_to_1_once_enlarged(small: int, large: int) -> None:
    maps = torch.randn(8, small, 6, generator=torch.Generator().manual_seed(0))
    masks = torch.from_numpy(masks_of(maps.numpy(), (large, 20)))
    enlarged = interpolate(masks[None], (large, 20), mode="bilinear", align_corners=True)[0]
    torch.testing.assert_close(enlarged.amin(dim=(1, 2)), torch.zeros(8), atol=1e-6, rtol=0)
    torch.testing.assert_close(enlarged.amax(dim=(1, 2)), torch.ones(8), atol=1e-6, rtol=0)


def test_classes_at_once_equal_one_by_one(photos: Tensor) -> None:
    subject = Subject(hard_swish_net())
    together = explain_with("scorecam", subject, photos, torch.tensor([[0, 1, 2]] * 2))
    for place in range(3):
        alone = explain_with("scorecam", subject, photos, torch.tensor([[place]] * 2))
        np.testing.assert_allclose(together.maps[:, place], alone.maps[:, 0], atol=1e-5)


def test_negative_maps_say_why_nothing_shows(photos: Tensor) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, stride=3), nn.LogSigmoid(), nn.Flatten())
    module.append(nn.Linear(4 * 36, 2))
    found = explain_with(
        "scorecam", Subject(Net(module.eval(), {"cam": Tap("1")})), photos, CLASSES
    )
    assert set(found.degenerate) == {(0, 0), (1, 0)}
    assert all("nowhere positive" in reason for reason in found.degenerate.values())


def test_an_empty_map_is_not_called_negative() -> None:
    sums = np.zeros((1, 4, 2, 2), np.float32)
    sums[0, 1], sums[0, 2, 0, 0], sums[0, 3] = -1.0, -1.0, [[-1.0, 0.0], [0.0, 1.0]]
    assert set(nowhere_positive(sums)) == {(0, 1), (0, 2)}


def test_many_forwards_change_to_a_faster_runtime(
    photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def made(module: nn.Module, _example: Tensor, runtime: str, _precision: str) -> object:
        asked.append(runtime)
        return module

    monkeypatch.setattr("kdray.explain._subject.forward_only", made)
    subject = Subject(hard_swish_net())
    subject.forward(photos)
    subject.forward(photos, planned=1000)
    assert asked == ["torch", "auto"]
    with torch.no_grad():
        subject.net.module[0].weight.add_(1.0)  # a runtime of the weights before is of no use
    subject.forward(photos)
    assert asked == ["torch", "auto", "torch"]
