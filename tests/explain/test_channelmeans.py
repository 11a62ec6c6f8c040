from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from kdray.errors import ModelError
from kdray.explain import Explanation, Subject, explain_with
from kdray.explain.channelmeans import convolutional
from kdray.models import build_model
from kdray.net import Net, Wants, look

CLASSES = torch.tensor([[0], [1]])


def made(name: str, size: int, **params: object) -> Net:
    return build_model(name, params, channels=3, classes=2, image_size=size)


def pixels(size: int) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["hdkd_teacher", "hdkd", "hdkd_student"])
def test_hdkds_own_networks_show_the_third_stage(name: str) -> None:
    net, images = made(name, 32), pixels(32)
    found = explain_with("channelmeans", Subject(net), images, CLASSES).checked()
    plain = explain_with("channelmeans", Subject(net), images, CLASSES, {"tap": "stage3"})
    with torch.no_grad():
        stage = look(net, images, Wants(("stage3",))).maps["stage3"]
    assert (found.maps == plain.maps).all()
    assert stage.shape[2:] == (4, 4)
    full = interpolate(stage.mean(1, keepdim=True), (32, 32), mode="bilinear")
    low, high = full.amin((1, 2, 3), keepdim=True), full.amax((1, 2, 3), keepdim=True)
    torch.testing.assert_close(torch.from_numpy(found.maps), (full - low) / (high - low))


def test_of_convolutions_alone_it_is_the_average_of_the_last_map(
    net: Net, images: Tensor, explain: Callable[..., Explanation]
) -> None:
    ours = explain("channelmeans", net, images).maps
    assert (ours == explain("featuremaps", net, images, tap="stage1").maps).all()


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("hdkd", 32, ["stage1", "stage2", "stage3"]),
        ("visformer_small", 32, ["stage1"]),
        ("mobilevit_s", 64, ["stage1", "stage2"]),
        ("coatnet_0", 64, ["stage2", "stage3"]),
    ],
)
def test_stages_before_the_first_attention_are_convolutional(
    name: str, size: int, expected: list[str]
) -> None:
    found = convolutional(made(name, size))
    assert list(found)[-2:] == expected[-2:]


@pytest.mark.parametrize("name", ["pvt_v2_b0", "pvt_tiny"])
def test_a_transformer_is_told_what_to_use_instead(name: str) -> None:
    with pytest.raises(ModelError, match=r"no stage of convolutions alone\. Use featuremaps"):
        convolutional(made(name, 64))
