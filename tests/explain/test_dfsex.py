from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from kdray.errors import ModelError
from kdray.explain import Explanation, Subject, explain_with
from kdray.explain.dfsex import Params, explain
from kdray.models import build_model
from kdray.net import Net, Tap, Wants, look
from kdray.saliency import Masking, saliency
from tests.distill.small import bare_net, small_net

CLASSES = torch.tensor([[0], [1]])


def pixels() -> Tensor:
    return torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def raw(net: Net, **params: object) -> Tensor:
    found = explain(Params.model_validate(params), Subject(net), pixels(), CLASSES)
    return torch.from_numpy(found.maps)[:, 0]


def explained(net: Net, images: Tensor, **params: object) -> Explanation:
    return explain_with("dfs-ex", Subject(net), images, CLASSES, params)


def test_the_printed_mask_marks_places_whose_largest_channel_is_above_the_threshold() -> None:
    net = small_net()
    net.module.eval()
    with torch.no_grad():
        maps = look(net, pixels(), Wants(("texture",))).maps["texture"].double().numpy()
    found = raw(net, stream="texture", mask="hard", kappa=1.5, grid=8)
    for image, one in zip(found.numpy(), maps, strict=True):
        threshold = one.mean() + 1.5 * one.std()
        np.testing.assert_array_equal(image, one.max(0) > threshold)
    assert 0 < found.mean() < 1


@pytest.mark.parametrize("attends", [False, True])
def test_both_is_the_weighted_sum_of_texture_and_shape_that_dfkd_aligns(attends: bool) -> None:
    net = small_net(attends=attends)
    net.module.eval()
    both = raw(net, eta=0.3)
    early, late = (raw(net, stream=stream) for stream in ("texture", "shape"))
    torch.testing.assert_close(both, 0.3 * early + 0.7 * late)
    wants = Wants(attention=True) if attends else Wants(("texture", "shape"))
    with torch.no_grad():
        expected = saliency(look(net, pixels(), wants), Masking(eta=0.3))
    torch.testing.assert_close(both, expected)
    assert not torch.allclose(early, late)


def test_the_settings_are_those_of_the_method() -> None:
    from kdray.distill import dfkd

    ours, theirs = Params(), dfkd.Params()
    for name in set(Params.model_fields) - {"stream"}:
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize(("kappa", "remedy"), [(100, "lower kappa"), (-10, "raise kappa")])
def test_a_threshold_that_tells_nothing_apart_is_said(kappa: float, remedy: str) -> None:
    found = explained(small_net(), pixels(), kappa=kappa, mask="hard")
    assert list(found.degenerate) == [(0, 0), (1, 0)]
    assert all(remedy in reason for reason in found.degenerate.values())


@pytest.mark.parametrize("name", ["cnn5_small", "hdkd", "cskd_tiny"])
@pytest.mark.parametrize("stream", ["texture", "shape", "both"])
def test_convolutions_hybrids_and_transformers_have_both_streams(name: str, stream: str) -> None:
    net = build_model(name, {}, channels=3, classes=2, image_size=64)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    explained(net, images, stream=stream).checked()


def test_a_model_without_either_is_refused() -> None:
    net = Net(bare_net().module, {"cam": Tap("stages.2")})
    with pytest.raises(ModelError, match=r"dfsex: the model.*neither the maps texture and shape"):
        raw(net)
