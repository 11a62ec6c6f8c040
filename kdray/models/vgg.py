"""VGG19 with batch norm, global average pooling and a new head, as the XKD paper describes it."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.models._pretrained import torchvision_model
from kdray.net import Net, Tap
from kdray.spec.strict import Strict

#: Five poolings by 2 leave one cell of so many pixels.
SMALLEST_IMAGE = 32
PRESETS = {
    "vgg19": {
        "params": {},
        "role": "teacher",
        "source": "VGG (Simonyan and Zisserman, 2015); torchvision vgg19_bn, mean and linear head",
        "papers": ["XKD"],
    },
    "vgg19_fc": {
        "params": {"head": "fc"},
        "role": "teacher",
        "source": "VGG (Simonyan and Zisserman, 2015); torchvision vgg19_bn",
        "papers": ["XKD"],
    },
}


class Params(Strict):
    """Which head."""

    head: Literal["gap", "fc"] = "gap"
    """`gap` (global average pooling and one linear layer) or `fc` (two layers of 4096 first)."""


def build(
    params: Params, *, channels: int, classes: int, image_size: int, pretrained: bool = False
) -> Net:
    """Return the sixteen convolutions of VGG19 with a head.

    ``stage1`` ... ``stage5`` are the maps after each pooling; ``texture`` is the first of them,
    ``cam``, ``shape`` and ``final`` the last.

    Args:
        params: Which head.
        channels: Image channels ``c``.
        classes: Number of logits ``C``.
        image_size: Height and width of the images, pixels; at least 32.
        pretrained: Whether to load torchvision's ImageNet weights.

    Raises:
        ModelError: The images are too small, or the ImageNet weights cannot be had.
    """
    if image_size < SMALLEST_IMAGE:
        problem = f"halves the image five times, and {image_size} px are too few."
        raise ModelError("vgg", problem, f"Set data.image_size to {SMALLEST_IMAGE} or more.")
    whole = torchvision_model("vgg19_bn", "vgg", channels, classes, pretrained)
    module = whole if params.head == "fc" else _Pooled(whole.get_submodule("features"), classes)
    pools = [
        f"features.{index}"
        for index, layer in enumerate(module.get_submodule("features").children())
        if isinstance(layer, nn.MaxPool2d)
    ]
    stages = {f"stage{number}": Tap(path) for number, path in enumerate(pools, start=1)}
    last = Tap("features")
    # A single cell has no places to weigh: the map before it is the last that has.
    cam = Tap(pools[-2]) if image_size < 2 * SMALLEST_IMAGE else last
    taps = {**stages, "texture": Tap(pools[0]), "shape": cam, "cam": cam, "final": last}
    return Net(module, taps, classifier="head" if params.head == "gap" else "")


def adapt(module: nn.Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a file of torchvision's ``vgg19_bn`` for either head.

    With ``head: gap`` its three last layers are left out, and the head starts anew.
    """
    own = {name: value for name, value in module.state_dict().items() if name.startswith("head.")}
    if not own or "classifier.0.weight" not in given:
        return given
    return own | {key: value for key, value in given.items() if key.startswith("features.")}


class _Pooled(nn.Module):
    """Convolutions, the mean over the places, a linear layer: ``[B, c, H, W] -> [B, C]``."""

    def __init__(self, features: nn.Module, classes: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(512, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits ``[B, C]`` of ``images`` ``[B, c, H, W]``."""
        logits: Tensor = self.head(self.features(images).mean((2, 3)))
        return logits
