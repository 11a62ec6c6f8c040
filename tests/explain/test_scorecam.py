from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from kdray.explain._maps import scaled
from kdray.net import Net

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
    expected = scaled(heat[None, None], (16, 16))[:, 0]
    random_net.module.float()
    part = "scorecam"
    found = maps_of(part, random_net, images[:1], CLASSES[1:])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
