from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.models import build_model
from kdray.models._cbam import Cbam
from kdray.models._mbconv import Block
from kdray.models._tokens import patches
from kdray.models.hdkd import Params, build
from kdray.net import Net, Wants, look


def made(size: int = 32, classes: int = 3, **params: Any) -> Net:
    torch.manual_seed(0)
    return build(Params(**params), channels=3, classes=classes, image_size=size)


def images(number: int = 2, size: int = 32) -> Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(0))


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("student", {"stage1": 38848, "stage2": 156676, "stage3": 912102, "head": 1799}),
        ("teacher", {"stage1": 186816, "stage2": 547212, "stage3": 3189042, "head": 25607}),
    ],
)
def test_each_stage_has_the_published_number_of_parameters(
    kind: str, expected: dict[str, int]
) -> None:
    module = made(224, classes=7, kind=kind).module
    found = {name: parameters(module.get_submodule(name)) for name in expected}
    assert found == expected


def test_the_transformer_has_the_published_number_of_parameters() -> None:
    module = made(224, classes=7).module
    assert parameters(module.get_submodule("transformer")) == 2_616_064


@pytest.mark.parametrize("training", [True, False])
def test_the_answer_is_the_mean_of_both_heads_in_training_as_well(training: bool) -> None:
    net = made()
    net.module.train(training)
    seen = look(net, images(), Wants(heads=("class", "distillation")))
    assert seen.logits.shape == (2, 3)
    torch.testing.assert_close(seen.logits, (seen.heads["class"] + seen.heads["distillation"]) / 2)
    assert not torch.equal(seen.heads["class"], seen.heads["distillation"])


def test_without_a_distillation_token_there_is_one_head() -> None:
    net = made(distillation_token=False)
    assert net.heads == {}
    assert net.module.get_submodule("transformer").positions.shape[1] == 1 + 4  # type: ignore[union-attr, index]


def test_the_class_token_through_the_classifier_gives_the_logits() -> None:
    net = made(distillation_token=False)
    net.module.eval()
    tokens: list[Tensor] = []
    layer = net.module.get_submodule(net.taps["final"].path)
    layer.register_forward_hook(lambda _m, _i, output: tokens.append(output))
    logits = net.module(images())
    torch.testing.assert_close(net.module.get_submodule(net.classifier)(tokens[0][:, 0]), logits)


def test_the_mean_of_the_teachers_places_gives_its_logits() -> None:
    net = made(kind="teacher")
    net.module.eval()
    with torch.no_grad():
        seen = look(net, images(), Wants(dense=True))
    assert seen.dense is not None
    torch.testing.assert_close(seen.dense.mean((2, 3)), seen.logits)


@pytest.mark.parametrize("kind", ["teacher", "student"])
@pytest.mark.parametrize("training", [True, False])
def test_a_batch_of_one_keeps_its_dimension(kind: str, training: bool) -> None:
    net = made(64, kind=kind)
    net.module.train(training)
    assert net.module(images(1, 64)).shape == (1, 3)


@pytest.mark.parametrize(("stride", "side"), [(2, 28), (4, 14), (8, 7)])
def test_the_stride_of_the_stem_decides_the_size_of_the_maps(stride: int, side: int) -> None:
    with torch.device("meta"):
        net = made(224, stem_stride=stride)
        seen = look(net, torch.zeros(1, 3, 224, 224), Wants(("stage3", "stage4")))
    assert seen.maps["stage3"].shape == (1, 192, side, side)
    assert seen.maps["stage4"].shape[2:] == ((side + 1) // 2, (side + 1) // 2)


def test_the_map_of_seven_gets_zeros_below_and_to_the_right() -> None:
    map_ = torch.arange(49.0).reshape(1, 1, 7, 7)
    found = patches(map_, 8)
    assert found.shape == (1, 16, 4)
    assert found[0, 0].tolist() == [0, 1, 7, 8]
    assert found[0, 3].tolist() == [6, 0, 13, 0]
    assert found[0, 15].tolist() == [48, 0, 0, 0]


def test_a_patch_is_flattened_cell_by_cell_with_its_channels() -> None:
    map_ = torch.randn(2, 5, 4, 6, generator=torch.Generator().manual_seed(0))[:, :, :, :4]
    found = patches(map_, 4)
    by_hand = torch.stack([map_[1, :, 2, 0], map_[1, :, 2, 1], map_[1, :, 3, 0], map_[1, :, 3, 1]])
    assert torch.equal(found[1, 2], by_hand.flatten())


def test_cbam_is_channels_then_places_then_the_input() -> None:
    torch.manual_seed(0)
    layer = Cbam(16, reduction=4).double()
    maps = torch.randn(2, 16, 5, 5, dtype=torch.float64)
    first, _, second = layer.channels

    def hidden(summary: Tensor) -> Tensor:
        gelu = torch.nn.functional.gelu(summary @ first.weight[:, :, 0, 0].T)  # type: ignore[union-attr, index, operator]
        return gelu @ second.weight[:, :, 0, 0].T  # type: ignore[union-attr, index, operator, no-any-return]

    weights = torch.sigmoid(hidden(maps.mean((2, 3))) + hidden(maps.amax((2, 3))))
    weighted = maps * weights[:, :, None, None]
    pair = torch.stack([weighted.mean(1), weighted.amax(1)], 1)
    places = torch.sigmoid(torch.nn.functional.conv2d(pair, layer.places.weight, padding=3))
    torch.testing.assert_close(layer(maps), maps + weighted * places)


def test_a_block_that_keeps_the_size_adds_its_input() -> None:
    torch.manual_seed(0)
    block = Block(16, 16, "mbcsa", halve=False).eval()
    last = block.path[-1]
    nn.init.zeros_(last.weight)  # type: ignore[arg-type]
    maps = torch.randn(1, 16, 4, 4)
    assert torch.equal(block(maps), maps)


@pytest.mark.parametrize(("size", "stride"), [(15, 2), (31, 4), (63, 8)])
def test_images_too_small_name_the_size_that_fits(size: int, stride: int) -> None:
    with pytest.raises(ModelError, match=f"Set data.image_size to {8 * stride} or more"):
        made(size, stem_stride=stride)


def test_there_are_no_imagenet_weights() -> None:
    with pytest.raises(ModelError, match="has no ImageNet weights"):
        build_model("hdkd", {}, channels=3, classes=3, image_size=32, weights="imagenet")


@pytest.mark.parametrize(
    "params", [{"stem_stride": 3}, {"block": "se"}, {"widths": [64, 96]}, {"kind": "both"}]
)
def test_other_variants_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Params.model_validate(params)
