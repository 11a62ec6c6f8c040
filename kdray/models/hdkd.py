"""HDKD's hybrid student of convolutions and transformer layers, and its teacher."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.models._attention import class_token
from kdray.models._matrices import token_matrix
from kdray.models._mbconv import stage
from kdray.models._tokens import Transformer
from kdray.net import Attention, Net, Tap
from kdray.spec.strict import Many, Strict

#: Convolutions of the stem, and blocks of the second and third stage.
DEPTHS = {"teacher": (6, 6, 9), "student": (2, 2, 3)}
#: The convolution stages, and the early and the late map of them.
STAGES = {f"stage{number}": Tap(f"stage{number}") for number in (1, 2, 3)}
PLACES = {"texture": Tap("stage2.0"), "shape": Tap("stage3"), "cam": Tap("stage3")}
#: Width of the teacher's layer before the classifier.
TEACHER_HIDDEN = 128
PRESETS = {
    "hdkd": {
        "params": {},
        "role": "student",
        "source": "HDKD, student with class and distillation token; written here",
        "papers": ["HDKD"],
        "sizes": "16 px and more",
    },
    "hdkd_student": {
        "params": {"distillation_token": False},
        "role": "student",
        "source": "HDKD, student without distillation; written here",
        "papers": ["HDKD"],
        "sizes": "16 px and more",
    },
    "hdkd_teacher": {
        "params": {"kind": "teacher"},
        "role": "teacher",
        "source": "HDKD, teacher of convolutions only; written here",
        "papers": ["HDKD"],
        "sizes": "16 px and more",
    },
}


class Params(Strict):
    """Which of the two networks, and its variants in the paper's tables."""

    kind: Literal["teacher", "student"] = "student"
    """`teacher` has convolutions only; `student` adds three transformer layers."""
    distillation_token: bool = True
    """Whether a student has a second token with a head of its own, next to the class token."""
    block: Literal["mbcsa", "mbconv"] = "mbcsa"
    """Attention inside the convolution blocks: `mbcsa` (channels and places) or `mbconv` (SE)."""
    stem_stride: Literal[2, 4, 8] = 2
    """Stride of the first convolution."""
    widths: Many[Annotated[int, Field(ge=16, le=4096)]] = Field(
        (64, 96, 192), min_length=3, max_length=3
    )
    """Channels of the three convolution stages; table 1 prints 64, 128, 192."""


def build(
    params: Params, *, channels: int, classes: int, image_size: int, pretrained: bool = False
) -> Net:
    """Return a network of "HDKD: Hybrid data-efficient knowledge distillation network".

    Three convolution stages (fig. 1, table 1), then for the teacher pooling and two linear layers,
    for the student a transformer over 2x2 patches of the last map (DFLT, eq. 1 and 2). The logits
    of a student with two tokens are the mean of both heads' logits, in training as well.

    Differs: table 1 prints channels 64, 128, 192 and counts that only 64, 96, 192 have, which are
    the default; and see ``Block``, ``Cbam`` and ``Transformer``. A map of odd sides, as 7 x 7 with
    ``stem_stride: 8``, gets a row and a column of zeros before the patches: table 12 counts 16.

    Args:
        params: The variant.
        channels: Image channels ``c``.
        classes: Number of logits ``C``.
        image_size: Height and width of the images, pixels; at least 8 times ``stem_stride``.
        pretrained: There are no ImageNet weights; must be False.

    Raises:
        ModelError: The images are too small, or ImageNet weights are asked for.
    """
    if image_size < 8 * params.stem_stride:
        problem = f"{image_size} px are too few for stem_stride {params.stem_stride}."
        remedy = f"Set data.image_size to {8 * params.stem_stride} or more."
        raise ModelError("hdkd", problem, remedy)
    if pretrained:
        raise ModelError("hdkd", "has no ImageNet weights.", "Write weights: none, or a path.")
    if params.kind == "teacher":
        teacher = _Teacher(channels, classes, params)
        return Net(teacher, {**STAGES, **PLACES, "final": Tap("stage3")}, classifier="head")
    return _student(params, channels, classes, image_size)


def _student(params: Params, channels: int, classes: int, image_size: int) -> Net:
    side = -(-image_size // (4 * params.stem_stride))  # each stage rounds up
    module = _Student(channels, classes, side, params)
    grid = (module.transformer.side, module.transformer.side)
    tokens = Tap("transformer.norm", "tokens", grid, module.transformer.prefix)
    attention = tuple(
        _attends(f"transformer.layers.{index}.attend.qkv", layer.attend, tokens)
        for index, layer in enumerate(module.transformer.layers)
    )
    heads = {"class": "head", "distillation": "distillation_head"}
    return Net(
        module,
        {**STAGES, "stage4": tokens, **PLACES, "final": tokens},
        heads=heads if params.distillation_token else {},
        attention=attention,
        classifier="head",
    )


def _attends(path: str, attend: Any, tokens: Tap) -> Attention:
    maps, matrix = class_token(attend, tokens), token_matrix(attend)
    return Attention(path, maps, matrix=matrix, prefix=tokens.prefix)


class _Convolutions(nn.Module):
    """The three stages that both networks share: ``[B, c, H, W] -> [B, D, h, w]``."""

    def __init__(self, channels: int, params: Params) -> None:
        super().__init__()
        depths, widths = DEPTHS[params.kind], params.widths
        self.stage1 = _stem(channels, widths[0], depths[0], params.stem_stride)
        self.stage2 = stage(widths[0], widths[1], depths[1], params.block)
        self.stage3 = stage(widths[1], widths[2], depths[2], params.block)

    def maps(self, images: Tensor) -> Tensor:
        """Return the last map."""
        last: Tensor = self.stage3(self.stage2(self.stage1(images)))
        return last


class _Teacher(_Convolutions):
    """Convolutions, mean, and two linear layers with nothing between: ``[B, C]``."""

    def __init__(self, channels: int, classes: int, params: Params) -> None:
        super().__init__(channels, params)
        self.pool = nn.AdaptiveAvgPool2d(1)
        hidden = nn.Linear(params.widths[2], TEACHER_HIDDEN)
        self.head = nn.Sequential(hidden, nn.Linear(TEACHER_HIDDEN, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits ``[B, C]`` of ``images`` ``[B, c, H, W]``."""
        logits: Tensor = self.head(self.pool(self.maps(images)).flatten(1))
        return logits


class _Student(_Convolutions):
    """Convolutions and transformer layers; one head a token: ``[B, C]``."""

    def __init__(self, channels: int, classes: int, side: int, params: Params) -> None:
        super().__init__(channels, params)
        prefix = 2 if params.distillation_token else 1
        self.transformer = Transformer(params.widths[2], side, prefix)
        self.head = nn.Linear(self.transformer.width, classes)
        self.distillation_head = (
            nn.Linear(self.transformer.width, classes) if params.distillation_token else None
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits ``[B, C]``: the mean of both heads where there are two."""
        tokens = self.transformer(self.maps(images))
        logits: Tensor = self.head(tokens[:, 0])
        if self.distillation_head is None:
            return logits
        distilled: Tensor = self.distillation_head(tokens[:, 1])
        return (logits + distilled) / 2


def _stem(channels: int, width: int, depth: int, stride: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(depth):
        inputs, step = (channels, stride) if index == 0 else (width, 1)
        layers += [
            nn.Conv2d(inputs, width, 3, stride=step, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.GELU(),
        ]
    return nn.Sequential(*layers)
