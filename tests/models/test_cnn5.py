from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.models.cnn5 import Params, build
from kdray.net import Wants, look


def parameters(widths: tuple[int, ...]) -> int:
    net = build(Params(widths=widths), channels=3, classes=4, image_size=224)
    return sum(weight.numel() for weight in net.module.parameters())


@pytest.mark.parametrize(
    ("widths", "expected"),
    [
        ((32, 64, 128, 320, 640), 2_309_796),
        ((32, 72, 144, 288, 544), 1_902_548),
        ((16, 32, 64, 128, 168), 292_228),
    ],
)
def test_the_parameters_are_those_counted_by_hand(widths: tuple[int, ...], expected: int) -> None:
    by_hand, inputs = 0, 3
    for width in widths:
        by_hand += 9 * inputs * width + 2 * width
        inputs = width
    assert parameters(widths) == by_hand + 4 * inputs + 4 == expected


def test_the_default_computes_1156_million_macs_at_224_px() -> None:
    net = build(Params(), channels=3, classes=4, image_size=224)
    macs = net.module.head.weight.numel()  # type: ignore[union-attr, operator]

    def count(layer: nn.Module, _images: tuple[Tensor], output: Tensor) -> None:
        nonlocal macs
        macs += layer.weight.numel() * output.shape[2] * output.shape[3]  # type: ignore[union-attr, operator]

    for layer in net.module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        net.module.eval()(torch.zeros(1, 3, 224, 224))
    assert macs / 1e6 == pytest.approx(1156.1, abs=0.1)


def test_each_stage_is_seen_before_its_pooling() -> None:
    net = build(Params(widths=(4, 5, 6, 7, 8)), channels=1, classes=3, image_size=64)
    seen = look(net, torch.zeros(2, 1, 64, 64), Wants(tuple(net.taps)))
    shapes = {name: tuple(maps.shape[1:]) for name, maps in seen.maps.items()}
    assert shapes == {
        "stage1": (4, 64, 64),
        "stage2": (5, 32, 32),
        "stage3": (6, 16, 16),
        "stage4": (7, 8, 8),
        "stage5": (8, 4, 4),
        "texture": (4, 32, 32),
        "shape": (8, 4, 4),
        "cam": (8, 4, 4),
        "final": (8, 2, 2),
    }
    assert seen.logits.shape == (2, 3)


def test_widths_may_be_a_list_as_in_yaml() -> None:
    assert Params.model_validate({"widths": [1, 2, 3, 4, 5]}).widths == (1, 2, 3, 4, 5)


@pytest.mark.parametrize("widths", [[8, 8, 8, 8], [8] * 6, [8, 8, 8, 8, 0], [8, 8, 8, 8, "8"]])
def test_other_than_five_whole_positive_widths_are_refused(widths: list[int]) -> None:
    with pytest.raises(ValidationError, match="widths"):
        Params.model_validate({"widths": widths})


def test_images_too_small_for_five_poolings_are_refused() -> None:
    with pytest.raises(ModelError, match=r"31 px are too few.*image_size to 32"):
        build(Params(), channels=3, classes=4, image_size=31)


def test_there_are_no_imagenet_weights() -> None:
    with pytest.raises(ModelError, match="no ImageNet weights"):
        build(Params(), channels=3, classes=4, image_size=32, pretrained=True)
