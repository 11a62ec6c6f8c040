from __future__ import annotations

import pytest
import torch

from kdray.errors import ModelError
from kdray.models.torchvision import Params, architectures, build
from kdray.net import Net, Wants, look


def made(arch: str, size: int = 64, channels: int = 3) -> Net:
    torch.manual_seed(0)
    return build(Params(arch=arch), channels=channels, classes=3, image_size=size)


@pytest.mark.parametrize(
    ("arch", "stages", "layout"),
    [
        ("mobilenet_v3_small", ["features.0", "features.1", "features.3", "features.8"], "NCHW"),
        ("resnet18", ["relu", "layer1.1", "layer2.1", "layer3.1", "layer4.1"], "NCHW"),
        ("swin_t", ["features.1.1", "features.3.1", "features.5.5"], "NHWC"),
    ],
)
def test_a_stage_ends_where_the_map_becomes_smaller(
    arch: str, stages: list[str], layout: str
) -> None:
    with torch.device("meta"):
        taps = made(arch, 224).taps
    found = [taps[f"stage{number}"] for number in range(1, len(stages) + 1)]
    assert [tap.path for tap in found] == stages
    assert {tap.layout for tap in found} == {layout}


def test_the_mean_of_the_places_gives_the_logits() -> None:
    net = made("resnet18")
    assert net.classifier == "fc"
    net.module.eval()
    with torch.no_grad():
        seen = look(net, torch.randn(1, 3, 64, 64), Wants(("cam",), dense=True))
    assert seen.dense is not None
    torch.testing.assert_close(seen.dense.mean((2, 3)), seen.logits)


def test_where_other_layers_stand_before_the_classifier_there_are_no_dense_logits() -> None:
    net = made("mobilenet_v3_small")
    assert net.classifier == ""
    with pytest.raises(ModelError, match="does not take the mean"):
        look(net, torch.zeros(2, 3, 64, 64), Wants(dense=True))


def test_grey_images_get_a_first_convolution_of_their_own() -> None:
    net = made("mobilenet_v3_small", channels=1)
    assert net.module(torch.zeros(2, 1, 64, 64)).shape == (2, 3)


def test_an_unknown_architecture_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ModelError, match=r"torchvision has no architecture 'resnet19'.*'resnet1"):
        made("resnet19")


@pytest.mark.parametrize("arch", ["vit_b_16", "inception_v3", "googlenet"])
def test_what_does_not_fit_is_sent_to_timm(arch: str) -> None:
    with pytest.raises(ModelError, match="Take the one of timm"):
        made(arch)


def test_classifiers_only_are_listed() -> None:
    assert "shufflenet_v2_x0_5" in architectures()
    assert "fcn_resnet50" not in architectures()
