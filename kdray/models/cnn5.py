"""Five-layer convolutional network, a student small enough for any machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.net import Net, Tap
from kdray.spec.strict import Many, Strict

#: Five poolings by 2 leave one cell of so many pixels.
SMALLEST_IMAGE = 32
#: The widths are not printed in the paper; each preset meets its computation in another reading.
PRESETS = {
    "cnn5": {
        "params": {},
        "role": "student",
        "source": "TKD; the default: the ratio to DenseNet121 that the paper prints",
        "papers": ["TKD"],
    },
    "cnn5_exact": {
        "params": {"widths": [32, 72, 144, 288, 544]},
        "role": "student",
        "source": "TKD; 2.330 GFLOPs at 224 px, nearest to ten times the printed number",
        "papers": ["TKD"],
    },
    "cnn5_100px": {
        "params": {"widths": [32, 64, 160, 320, 512]},
        "role": "student",
        "source": "TKD; the printed number as MACs at 100 px",
        "papers": ["TKD"],
    },
    "cnn5_72px": {
        "params": {"widths": [32, 72, 144, 288, 544]},
        "role": "student",
        "source": "TKD; the printed number as FLOPs at 72 px",
        "papers": ["TKD"],
    },
    "cnn5_small": {
        "params": {"widths": [16, 32, 64, 128, 168]},
        "role": "student",
        "source": "TKD; the printed number as MACs at 224 px",
        "papers": ["TKD"],
    },
}


class Params(Strict):
    """How wide the layers are."""

    widths: Many[Annotated[int, Field(ge=1, le=8192)]] = Field(
        (32, 64, 128, 320, 640), min_length=5, max_length=5
    )
    """Output channels of the five convolutions, from the image on."""


def build(
    params: Params, *, channels: int, classes: int, image_size: int, pretrained: bool = False
) -> Net:
    """Return 5 x [3x3 convolution, batch norm, ReLU, max-pool], average pool, linear.

    The student of "A Knowledge Distillation-Based Approach to Enhance Transparency of Classifier
    Models" (arXiv:2502.15959) has five convolutions with max-pooling; widths, kernels and
    normalisation are not printed there. The default widths keep its ratio of computation to
    DenseNet121 (2.45 against 2.436).

    ``stage1`` ... ``stage5`` are the activations before each pooling, ``[B, D, H/2^(i-1), ...]``;
    ``cam`` and ``shape`` are the last of them, ``final`` the last after its pooling, ``texture``
    the first after its pooling.

    Args:
        params: Widths of the layers.
        channels: Image channels ``c``.
        classes: Number of logits ``C``.
        image_size: Height and width of the images, pixels; at least 32.
        pretrained: There are no ImageNet weights; must be False.

    Raises:
        ModelError: The images are too small, or ImageNet weights are asked for.
    """
    if image_size < SMALLEST_IMAGE:
        problem = f"halves the image five times, and {image_size} px are too few."
        raise ModelError("cnn5", problem, f"Set data.image_size to {SMALLEST_IMAGE} or more.")
    if pretrained:
        raise ModelError("cnn5", "has no ImageNet weights.", "Write weights: none, or a path.")
    taps = {f"stage{i + 1}": Tap(f"stages.{i}.act") for i in range(len(params.widths))}
    taps |= {"texture": Tap("stages.0"), "shape": Tap("stages.4.act")}
    taps |= {"cam": Tap("stages.4.act"), "final": Tap("stages.4")}
    return Net(_Cnn5(channels, params.widths, classes), taps, classifier="head")


class _Cnn5(nn.Module):
    """The network: ``[B, c, H, W] -> [B, C]``."""

    def __init__(self, channels: int, widths: tuple[int, ...], classes: int) -> None:
        super().__init__()
        inputs = (channels, *widths[:-1])
        self.stages = nn.Sequential(*map(_layer, inputs, widths))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits ``[B, C]`` of ``images`` ``[B, c, H, W]``."""
        logits: Tensor = self.head(self.pool(self.stages(images)).flatten(1))
        return logits


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    layer = nn.Sequential()
    layer.add_module("conv", nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
    layer.add_module("norm", nn.BatchNorm2d(outputs))
    layer.add_module("act", nn.ReLU())
    layer.add_module("pool", nn.MaxPool2d(2))
    return layer
