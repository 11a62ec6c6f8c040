"""Any image classifier of torchvision by its name."""

from __future__ import annotations

from pydantic import Field

from kdray.errors import ModelError
from kdray.models._pretrained import first_line, torchvision_model, unknown
from kdray.models._taps import derive
from kdray.net import Net
from kdray.spec.strict import Strict

#: Returns more than logits in training.
ELSEWHERE = ("googlenet", "inception_v3")
#: Models of the papers: name -> settings, role, source, and the papers that use it.
PRESETS = {
    "shufflenet_v2_x0_5": {
        "params": {"arch": "shufflenet_v2_x0_5"},
        "role": "student",
        "source": "ShuffleNetV2 (Ma et al., 2018); torchvision shufflenet_v2_x0_5",
        "papers": ["DFKD"],
    },
    "shufflenet_v2_x1_0": {
        "params": {"arch": "shufflenet_v2_x1_0"},
        "role": "student",
        "source": "ShuffleNetV2 (Ma et al., 2018); torchvision shufflenet_v2_x1_0",
        "papers": ["DFKD"],
    },
    "mobilenet_v2": {
        "params": {"arch": "mobilenet_v2"},
        "role": "comparator",
        "source": "MobileNetV2 (Sandler et al., 2018); torchvision mobilenet_v2",
        "papers": ["HDKD"],
    },
    "mobilenet_v3_large": {
        "params": {"arch": "mobilenet_v3_large"},
        "role": "comparator",
        "source": "MobileNetV3 (Howard et al., 2019); torchvision mobilenet_v3_large",
        "papers": ["HDKD"],
    },
    "efficientnet_b0": {
        "params": {"arch": "efficientnet_b0"},
        "role": "comparator",
        "source": "EfficientNet (Tan and Le, 2019); torchvision efficientnet_b0",
        "papers": ["HDKD"],
    },
}


class Params(Strict):
    """Which architecture."""

    arch: str = Field(min_length=1, examples=["shufflenet_v2_x0_5", "mobilenet_v2"])
    """Name of the architecture, as in torchvision.models."""


def build(
    params: Params, *, channels: int, classes: int, image_size: int, pretrained: bool = False
) -> Net:
    """Return the network with taps ``stage1`` ... ``stageN`` and the others of ``derive``.

    A stage ends where the map becomes smaller. The first convolution and the last layer are
    replaced where the images or the classes are others than ImageNet's.

    Args:
        params: Which architecture.
        channels: Image channels ``c``.
        classes: Number of logits ``C``.
        image_size: Height and width of the images, pixels.
        pretrained: Whether to load torchvision's ImageNet weights (from its cache or downloaded).

    Raises:
        ModelError: There is no such architecture, it does not take these images, or its
            ImageNet weights cannot be had.
    """
    where = f"torchvision/{params.arch}"
    _known(where, params.arch)
    size = f"{channels} x {image_size} x {image_size} images"
    try:
        module = torchvision_model(params.arch, "torchvision", channels, classes, pretrained)
        found = derive(module, channels, image_size)
    except (RuntimeError, ValueError, TypeError, LookupError, AssertionError) as error:
        problem = f"cannot be built for {size} and {classes} classes: {first_line(error)}."
        raise ModelError(where, problem, "Try another image_size.") from error
    return Net(module, found.taps, classifier=found.classifier)


def architectures() -> list[str]:
    """Return the names of torchvision's image classifiers."""
    from torchvision import models

    return [str(name) for name in models.list_models(module=models)]


def _known(where: str, arch: str) -> None:
    known = architectures()
    if arch not in known:
        raise unknown(where, arch, known, "torchvision.models lists them.")
    if arch in ELSEWHERE or arch.startswith("vit_"):
        problem = "its auxiliary heads or its tokens do not fit here."
        raise ModelError(where, problem, "Take the one of timm: `kdray models --arch-like`.")
