"""Any architecture of timm (PyTorch Image Models) by its name."""

from __future__ import annotations

import sys
from typing import Any

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.models._pretrained import first_line, no_weights, unknown
from kdray.models._taps import derive
from kdray.models._timm_attention import attention_of, crossvit_taps
from kdray.net import Net
from kdray.spec.strict import Strict

RESERVED = {
    "num_classes": "it follows from the data set",
    "in_chans": "it is data.channels",
    "img_size": "it is data.image_size",
    "pretrained": "write `weights: imagenet` beside the model",
    "pretrained_cfg": "write `weights: PATH` beside the model",
    "checkpoint_path": "write `weights: PATH` beside the model",
    "cache_dir": "set the environment variable HF_HOME",
    "features_only": "a model must return logits",
}
#: Pixels of a cell of the last map of most networks, and the image size of most.
CELL, USUAL = 32, 224
#: Networks with two branches of tokens.
CROSSVIT = "crossvit"
#: Heads of a network with a distillation token; it returns the mean of their logits.
HEADS = {"class": "head", "distillation": "head_dist"}
#: Models of the papers: name -> settings, role, source, and the papers that use it.
PRESETS = {
    "densenet121": {
        "params": {"arch": "densenet121"},
        "role": "teacher",
        "source": "DenseNet (Huang et al., 2017); timm densenet121",
        "papers": ["TKD"],
    },
    "densenet201": {
        "params": {"arch": "densenet201"},
        "role": "teacher",
        "source": "DenseNet (Huang et al., 2017); timm densenet201",
        "papers": ["XKD"],
    },
    "visformer_small": {
        "params": {"arch": "visformer_small"},
        "role": "teacher",
        "source": "Visformer (Chen et al., 2021); timm visformer_small",
        "papers": ["XKD"],
    },
    "autoformer_v2_t": {
        "params": {"arch": "swin_s3_tiny_224"},
        "role": "teacher",
        "source": "AutoFormerV2 / S3 (Chen et al., 2021); timm swin_s3_tiny_224",
        "papers": ["XKD"],
    },
    "deit_base": {
        "params": {"arch": "deit_base_patch16_224"},
        "role": "teacher",
        "source": "DeiT (Touvron et al., 2021); timm deit_base_patch16_224",
        "papers": ["DFKD"],
    },
    "wide_resnet50_2": {
        "params": {"arch": "wide_resnet50_2"},
        "role": "teacher",
        "source": "Wide ResNet (Zagoruyko and Komodakis, 2016); timm wide_resnet50_2",
        "papers": ["DFKD"],
    },
    "convnext_tiny": {
        "params": {"arch": "convnext_tiny"},
        "role": "teacher",
        "source": "ConvNeXt (Liu et al., 2022); timm convnext_tiny",
        "papers": ["DFKD"],
    },
    "resnet101": {
        "params": {"arch": "resnet101"},
        "role": "teacher",
        "source": "ResNet (He et al., 2016); timm resnet101",
        "papers": ["DFKD"],
    },
    "resnet152": {
        "params": {"arch": "resnet152"},
        "role": "teacher",
        "source": "ResNet (He et al., 2016); timm resnet152",
        "papers": ["DFKD"],
    },
    "mobilenetv3_small": {
        "params": {"arch": "mobilenetv3_small_100"},
        "role": "student",
        "source": "MobileNetV3 (Howard et al., 2019); timm mobilenetv3_small_100",
        "papers": ["DFKD"],
    },
    "regnety_004": {
        "params": {"arch": "regnety_004"},
        "role": "student",
        "source": "RegNet (Radosavovic et al., 2020); timm regnety_004",
        "papers": ["DFKD"],
    },
    "ghostnet_100": {
        "params": {"arch": "ghostnet_100"},
        "role": "student",
        "source": "GhostNet (Han et al., 2020); timm ghostnet_100",
        "papers": ["DFKD"],
    },
    "regnety_040": {
        "params": {"arch": "regnety_040"},
        "role": "comparator",
        "source": "RegNet (Radosavovic et al., 2020); timm regnety_040",
        "papers": ["HDKD"],
    },
    "regnety_160": {
        "params": {"arch": "regnety_160"},
        "role": "teacher",
        "source": "RegNet (Radosavovic et al., 2020); timm regnety_160, the teacher of CSKD",
        "papers": ["HDKD"],
    },
    "crossvit_tiny": {
        "params": {"arch": "crossvit_tiny_240"},
        "role": "comparator",
        "source": "CrossViT (Chen et al., 2021); timm crossvit_tiny_240",
        "papers": ["HDKD"],
        "sizes": "any; resized to 240",
    },
    "cskd_tiny": {
        "params": {"arch": "deit_tiny_distilled_patch16_224"},
        "role": "comparator",
        "source": "CSKD (Zhao et al., 2023); timm deit_tiny_distilled_patch16_224",
        "papers": ["HDKD"],
    },
    "mobilevit_s": {
        "params": {"arch": "mobilevit_s"},
        "role": "comparator",
        "source": "MobileViT (Mehta and Rastegari, 2022); timm mobilevit_s",
        "papers": ["HDKD"],
    },
    "pvt_v2_b0": {
        "params": {"arch": "pvt_v2_b0"},
        "role": "comparator",
        "source": "PVTv2 (Wang et al., 2022); timm pvt_v2_b0",
        "papers": ["HDKD"],
    },
    "coatnet_0": {
        "params": {"arch": "coatnet_0_rw_224"},
        "role": "comparator",
        "source": "CoAtNet (Dai et al., 2021); timm coatnet_0_rw_224",
        "papers": ["HDKD"],
        "sizes": "multiples of 32",
    },
}


class Params(Strict):
    """Which architecture."""

    arch: str = Field(min_length=1, examples=["resnet18", "deit_tiny_patch16_224"])
    """Name of the architecture; `kdray models --arch-like 'resnet*'` lists them."""
    args: dict[str, Any] = Field(default_factory=dict, examples=[{"drop_path_rate": 0.1}])
    """Further keyword arguments of the architecture, such as `drop_rate`."""

    @field_validator("args")
    @classmethod
    def _not_ours(cls, args: dict[str, Any]) -> dict[str, Any]:
        for name in args:
            if name in RESERVED:
                raise ValueError(f"{name} cannot be given here: {RESERVED[name]}")
        return args


def build(
    params: Params, *, channels: int, classes: int, image_size: int, pretrained: bool = False
) -> Net:
    """Return the network with taps ``stage1`` ... ``stageN``, ``cam`` and others.

    The taps come from timm's ``feature_info`` and one forward pass; see ``_taps.derive``.
    An architecture whose stages give no single map (CrossViT, for one) has fewer taps, or none.

    Args:
        params: Which architecture.
        channels: Image channels ``c``.
        classes: Number of logits ``C``.
        image_size: Height and width of the images, pixels.
        pretrained: Whether to load timm's ImageNet weights (from its cache, or downloaded).

    Raises:
        ModelError: There is no such architecture, it does not take these images, or its
            ImageNet weights cannot be had.
    """
    where = f"timm/{params.arch}"
    size = f"{channels} x {image_size} x {image_size} images"
    try:
        module = _create(params, channels, classes, image_size, pretrained)
        found = derive(module, channels, image_size)
    except (RuntimeError, ValueError, TypeError, LookupError, AssertionError) as error:
        if pretrained and "pretrained" in str(error):
            raise _no_weights(params.arch, error) from error
        problem = f"cannot be built for {size} and {classes} classes: {first_line(error)}."
        remedy = _remedy(params, channels, image_size, pretrained)
        raise ModelError(where, problem, remedy) from error
    if found.logits.shape != (1, classes):
        problem = f"gives an output of shape {list(found.logits.shape)}, not [1, {classes}]."
        raise ModelError(where, problem, "Choose an architecture that classifies.")
    taps = found.taps or (crossvit_taps(module) if params.arch.startswith(CROSSVIT) else {})
    heads = HEADS if hasattr(module, "head_dist") else {}
    return Net(
        module,
        taps,
        heads=heads,
        attention=attention_of(module, taps),
        classifier=found.classifier,
    )


def adapt(module: nn.Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a weights file as timm itself would load them.

    Positions for another image size are resampled, and names of the original authors replaced,
    as far as timm knows how to.
    """
    known = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    return dict(known(given, module)) if known else given


def architectures(pattern: str = "") -> list[str]:
    """Return the names of timm's architectures that match a pattern such as ``resnet*``."""
    import timm  # some ten seconds on a small machine

    return [str(name) for name in timm.list_models(pattern)]


def _create(
    params: Params, channels: int, classes: int, image_size: int, pretrained: bool
) -> nn.Module:
    import timm

    where = f"timm/{params.arch}"
    if not timm.is_model(params.arch):
        listed = "`kdray models --arch-like PATTERN` lists them."
        raise unknown(where, params.arch, architectures(), listed)
    args = {**params.args, "num_classes": classes, "in_chans": channels, "pretrained": pretrained}
    try:
        return _created(params.arch, args, image_size)
    except OSError as error:
        raise _no_weights(params.arch, error) from error


def _created(arch: str, args: dict[str, Any], image_size: int) -> nn.Module:
    """Return the network; those that take any size know no ``img_size``."""
    import timm

    module: nn.Module
    if arch.startswith(CROSSVIT):  # resizes every image to its own two sizes
        module = timm.create_model(arch, **args)
        return module
    try:
        module = timm.create_model(arch, **args, img_size=image_size)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        module = timm.create_model(arch, **args)
    return module


def _no_weights(arch: str, error: Exception) -> ModelError:
    """Return the error with the way to a file: the network of timm, saved where it can be had."""
    tag = _config(arch).tag
    name = f"{arch}.{tag}" if tag else arch
    return no_weights(f"timm/{arch}", f"timm.create_model({name!r}, pretrained=True)", error)


def _remedy(params: Params, channels: int, image_size: int, pretrained: bool) -> str:
    """Return what to do where a network cannot be built: the nearest image size that works."""
    if pretrained:
        return f"Its ImageNet weights are for {_config(params.arch).input_size[1]} px."
    near = max(CELL, CELL * round(image_size / CELL))
    for size in (near, near + CELL, USUAL):
        if size != image_size and _fits(params, channels, size):
            return f"Set data.image_size to {size}."
    return "Try another image_size, or mend `args`."


def _fits(params: Params, channels: int, image_size: int) -> bool:
    """Return whether an image size works, tried without memory."""
    try:
        with torch.device("meta"):
            derive(_create(params, channels, 2, image_size, False), channels, image_size)
    except (RuntimeError, ValueError, TypeError, LookupError, AssertionError):
        return False
    return True


def _config(arch: str) -> Any:
    import timm

    return timm.get_pretrained_cfg(arch)
