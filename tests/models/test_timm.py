from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from pydantic import ValidationError
from torch import Tensor

from kdray.errors import ModelError
from kdray.models.timm import Params, architectures, build
from kdray.net import Net, Tap, Wants, look


@cache
def net(arch: str, size: int, channels: int = 3, **args: Any) -> Net:
    torch.manual_seed(0)
    return build(Params(arch=arch, args=args), channels=channels, classes=4, image_size=size)


def seen(made: Net, size: int, *taps: str) -> tuple[Tensor, dict[str, Tensor]]:
    made.module.eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        found = look(
            made,
            torch.randn(2, 3, size, size, generator=random),
            Wants(taps or tuple(made.taps)),
        )
    return found.logits, dict(found.maps)


@pytest.mark.parametrize(
    ("arch", "size", "cam"),
    [
        ("resnet10t", 64, Tap("layer4")),
        ("mobilenetv3_small_050", 64, Tap("blocks.5")),
        ("ghostnet_050", 64, Tap("blocks.9")),
        ("test_resnet", 64, Tap("layer4")),
        ("densenet121", 64, Tap("features.norm5")),
        ("regnety_002", 64, Tap("s4")),
        ("test_convnext", 64, Tap("stages.3")),
        ("visformer_tiny", 64, Tap("norm")),
        ("swin_s3_tiny_224", 64, Tap("norm", "NHWC")),
        ("deit_tiny_patch16_224", 48, Tap("blocks.11.norm1", "tokens", (3, 3), 1)),
        ("deit_tiny_distilled_patch16_224", 48, Tap("blocks.11.norm1", "tokens", (3, 3), 2)),
    ],
)
def test_the_cam_tap_is_the_last_map_before_pooling(arch: str, size: int, cam: Tap) -> None:
    assert net(arch, size).taps["cam"] == cam


@pytest.mark.parametrize(
    ("arch", "head"),
    [("resnet10t", "fc"), ("densenet121", "classifier"), ("swin_s3_tiny_224", "head.fc")],
)
def test_the_mean_of_the_cam_map_through_the_head_gives_the_logits(arch: str, head: str) -> None:
    made = net(arch, 64)
    logits, maps = seen(made, 64, "cam")
    with torch.no_grad():
        expected = made.module.get_submodule(head)(maps["cam"].mean((2, 3)))
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize(
    ("arch", "stages"),
    [("resnet10t", 5), ("test_vit", 6), ("swin_s3_tiny_224", 4), ("mobilenetv3_small_050", 5)],
)
def test_the_stages_are_the_intermediate_maps_of_timm(arch: str, stages: int) -> None:
    made = net(arch, 64)
    _, maps = seen(made, 64)
    assert [name for name in maps if name.startswith("stage")] == [
        f"stage{i + 1}" for i in range(stages)
    ]
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = made.module.forward_intermediates(images, intermediates_only=True)  # type: ignore[operator]
    for number, expected in enumerate(theirs, start=1):
        torch.testing.assert_close(maps[f"stage{number}"], expected)


def test_where_the_last_map_is_one_cell_the_cam_is_the_deepest_larger_one() -> None:
    made = net("resnet10t", 32)
    assert made.taps["stage5"].path == "layer4"
    assert made.taps["cam"].path == "layer3"
    assert seen(made, 32)[1]["cam"].shape[2:] == (2, 2)


def test_an_architecture_without_single_maps_has_no_taps_and_says_so_when_asked() -> None:
    with torch.device("meta"):
        made = net("hiera_tiny_224", 224)
    assert made.taps == {}
    with pytest.raises(ModelError, match="this model has no such tap"):
        made.layer("cam")


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        ("mobilenetv3_small_100", 1_521_956),
        ("ghostnet_100", 3_906_632),
        ("deit_tiny_patch16_224", 5_525_188),
    ],
)
def test_the_parameters_are_the_published_ones(arch: str, expected: int) -> None:
    assert sum(weight.numel() for weight in net(arch, 224).module.parameters()) == expected


@pytest.mark.parametrize("training", [True, False])
def test_a_distilled_network_answers_with_the_mean_of_both_heads(training: bool) -> None:
    made = net("deit_tiny_distilled_patch16_224", 48)
    made.module.train(training)
    seen = look(made, torch.randn(1, 3, 48, 48), Wants(heads=("class", "distillation")))
    mean = (seen.heads["class"] + seen.heads["distillation"]) / 2
    torch.testing.assert_close(seen.logits, mean)
    assert seen.logits.shape == (1, 4)


def test_of_a_vision_transformer_the_head_takes_the_class_token_of_the_final_tap() -> None:
    made = net("deit_tiny_patch16_224", 48)
    assert (made.taps["final"].path, made.classifier) == ("norm", "head")
    assert {"texture", "shape"}.isdisjoint(made.taps)
    made.module.eval()
    with torch.no_grad():
        seen = look(made, torch.randn(2, 3, 48, 48), Wants(dense=True))
    assert seen.dense is not None
    assert seen.dense.shape == (2, 4, 3, 3)


@pytest.mark.parametrize("arch", ["mobilenetv3_small_050", "test_convnext", "ghostnet_050"])
def test_where_layers_stand_before_the_head_no_classifier_is_named(arch: str) -> None:
    assert net(arch, 64).classifier == ""


def test_building_leaves_the_network_in_train_mode_without_hooks() -> None:
    made = build(Params(arch="resnet10t"), channels=3, classes=4, image_size=64)
    assert all(part.training for part in made.module.modules())
    assert not any(part._forward_hooks for part in made.module.modules())
    assert int(made.module.get_buffer("bn1.num_batches_tracked")) == 0


def test_grey_images_and_further_arguments_reach_the_architecture() -> None:
    made = net("resnet10t", 64, channels=1, drop_rate=0.3)
    assert made.module(torch.zeros(2, 1, 64, 64)).shape == (2, 4)
    assert made.module.drop_rate == 0.3


def test_an_unknown_architecture_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ModelError, match=r"no architecture 'resnet81'.*Did you mean.*'resnet18'"):
        net("resnet81", 64)


def test_an_image_size_that_does_not_fit_is_refused_with_its_reason() -> None:
    with pytest.raises(ModelError, match=r"timm/efficientformer_l1: cannot be built for 3 x 96"):
        net("efficientformer_l1", 96)


def test_an_argument_that_the_architecture_does_not_take_is_named() -> None:
    with pytest.raises(ModelError, match="depht"):
        net("resnet10t", 64, depht=3)


@pytest.mark.parametrize("name", ["num_classes", "img_size", "pretrained", "checkpoint_path"])
def test_what_the_job_says_elsewhere_cannot_be_said_again(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} cannot be given here"):
        Params(arch="resnet10t", args={name: 1})


def test_imagenet_weights_that_cannot_be_had_name_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*_args: Any, **_kwargs: Any) -> None:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr("timm.models._hub.hf_hub_download", offline)
    with pytest.raises(ModelError, match=r"cannot be had: no network\. Give a local file"):
        build(Params(arch="resnet10t"), channels=3, classes=4, image_size=64, pretrained=True)


def test_an_architecture_without_imagenet_weights_names_the_way_out() -> None:
    with pytest.raises(ModelError, match=r"No pretrained weights exist.*Give a local file"):
        build(Params(arch="cspresnet50d"), channels=3, classes=4, image_size=64, pretrained=True)


def test_architectures_are_found_by_a_pattern() -> None:
    found = architectures("resnet1*")
    assert "resnet18" in found
    assert all(name.startswith("resnet1") for name in found)
