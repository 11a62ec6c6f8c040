"""Pyramid Vision Transformer, version 1: PVT-Tiny (Wang et al., 2021)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from kdray.errors import ModelError
from kdray.models._attention import reduced_keys
from kdray.models._matrices import square_matrix
from kdray.net import Attention, Net, Tap
from kdray.spec.strict import Many, Strict

#: Of the four stages: channels, heads, hidden layer of the MLP, side of what one key stands for.
WIDTHS, HEADS, MLP_RATIOS = (64, 128, 320, 512), (1, 2, 5, 8), (8, 8, 4, 4)
REDUCTIONS = (8, 4, 2, 1)
#: Pixels of a cell of the last map: patches of 4, halved three times.
CELL = 32
PRESETS = {
    "pvt_tiny": {
        "params": {},
        "role": "comparator",
        "source": "PVT (Wang et al., 2021); written here, for timm has version 2 only",
        "papers": ["HDKD"],
        "sizes": "multiples of 32",
    },
}


class Params(Strict):
    """How deep the stages are."""

    depths: Many[Annotated[int, Field(ge=1, le=64)]] = Field(
        (2, 2, 2, 2), min_length=4, max_length=4
    )
    """Blocks of the four stages; PVT-Small has 3, 4, 6, 3."""


def build(
    params: Params, *, channels: int, classes: int, image_size: int, pretrained: bool = False
) -> Net:
    """Return four stages of transformer blocks whose keys are of a smaller map than the queries.

    ``stage1`` ... ``stage4`` are the patches after the blocks of each stage; ``cam`` is the first
    norm of the last block, behind whose attention only the class token reaches the logits;
    ``final`` is the normalised last stage.

    Args:
        params: Depths of the stages.
        channels: Image channels ``c``.
        classes: Number of logits ``C``.
        image_size: Height and width of the images, pixels; a multiple of 32.
        pretrained: ImageNet weights are not in timm; must be False.

    Raises:
        ModelError: The image size does not fit, or ImageNet weights are asked for.
    """
    if image_size % CELL:
        near = max(CELL, CELL * round(image_size / CELL))
        problem = f"takes multiples of {CELL} px, not {image_size}."
        raise ModelError("pvt", problem, f"Set data.image_size to {near}.")
    if pretrained:
        problem = "timm and torchvision have no ImageNet weights of it."
        raise ModelError("pvt", problem, "Write weights: none, or a path.")
    sides = [image_size // (4 * 2**index) for index in range(4)]
    module = _Pvt(channels, classes, sides, params.depths)
    stages = [
        Tap(f"stages.{index}.blocks.{depth - 1}", "tokens", (side, side), index // 3)
        for index, (side, depth) in enumerate(zip(sides, params.depths, strict=True))
    ]
    return Net(module, _taps(stages), attention=_attention(module), classifier="head")


def _taps(stages: list[Tap]) -> dict[str, Tap]:
    last = stages[-1]
    final = Tap("norm", "tokens", last.grid, last.prefix)
    cam = Tap(f"{last.path}.norm1", "tokens", last.grid, last.prefix)
    if last.grid == (1, 1):
        cam = stages[-2]  # a single cell has no places to weigh
    texture = Tap("stages.0.blocks.0", "tokens", stages[0].grid)
    named = {f"stage{number}": tap for number, tap in enumerate(stages, start=1)}
    return {**named, "texture": texture, "shape": cam, "cam": cam, "final": final}


def _attention(module: _Pvt) -> tuple[Attention, ...]:
    return tuple(
        _attends(module, f"stages.{index}.blocks.{depth}.attn", int(index == 3))
        for index, stage in enumerate(module.stages)
        for depth in range(len(stage.get_submodule("blocks")))  # type: ignore[arg-type]
    )


def _attends(module: _Pvt, path: str, prefix: int) -> Attention:
    matrix = square_matrix(module.get_submodule(path))
    return Attention(path, reduced_keys(prefix), "input", matrix, prefix)


class _Pvt(nn.Module):
    """The network: ``[B, c, H, W] -> [B, C]``."""

    def __init__(
        self, channels: int, classes: int, sides: list[int], depths: tuple[int, ...]
    ) -> None:
        super().__init__()
        inputs = (channels, *WIDTHS)
        self.stages = nn.ModuleList(
            _Stage(index, inputs[index], side, depth)
            for index, (side, depth) in enumerate(zip(sides, depths, strict=True))
        )
        self.norm = nn.LayerNorm(WIDTHS[-1], eps=1e-6)
        self.head = nn.Linear(WIDTHS[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits ``[B, C]`` of ``images`` ``[B, c, H, W]``."""
        maps = images
        for stage in list(self.stages)[:-1]:
            tokens: Tensor = stage(maps)
            side = math.isqrt(tokens.shape[1])
            # Not unflattened: the exporter to ONNX would fix the number of images.
            maps = tokens.transpose(1, 2).reshape(tokens.shape[0], -1, side, side)
        logits: Tensor = self.head(self.norm(self.stages[-1](maps))[:, 0])
        return logits


class _Stage(nn.Module):
    """Patches, positions, blocks: ``[B, D, h, w] -> [B, N, D']``; the last has a class token."""

    def __init__(self, index: int, inputs: int, side: int, depth: int) -> None:
        super().__init__()
        width, patch = WIDTHS[index], 2 if index else 4
        self.embed = nn.Conv2d(inputs, width, patch, stride=patch)
        self.norm = nn.LayerNorm(width)
        last = index == len(WIDTHS) - 1
        self.class_token = nn.Parameter(torch.zeros(1, 1, width)) if last else None
        self.positions = nn.Parameter(torch.zeros(1, side**2 + last, width))
        shape = (width, HEADS[index], MLP_RATIOS[index], REDUCTIONS[index])
        self.blocks = nn.Sequential(*(_Block(*shape) for _ in range(depth)))
        for tokens in (self.positions, self.class_token):
            if tokens is not None:
                nn.init.trunc_normal_(tokens, std=0.02)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the tokens of ``maps`` ``[B, D, h, w]``."""
        tokens = self.norm(self.embed(maps).flatten(2).transpose(1, 2))
        if self.class_token is not None:
            first = self.class_token.expand(tokens.shape[0], -1, -1)
            tokens = torch.cat([first, tokens], dim=1)
        attended: Tensor = self.blocks(tokens + self.positions)
        return attended


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, mlp_ratio: int, reduction: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = ReducedAttention(width, heads, reduction)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, width * mlp_ratio), nn.GELU(), nn.Linear(width * mlp_ratio, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        added: Tensor = tokens + self.mlp(self.norm2(tokens))
        return added


class ReducedAttention(nn.Module):
    """Attention of all tokens to cells of ``reduction`` x ``reduction`` tokens, eq. 1-3 of PVT."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.num_heads, self.scale = heads, (width // heads) ** -0.5
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.sr: nn.Module | None = None
        self.norm: nn.Module | None = None
        if reduction > 1:
            self.sr = nn.Conv2d(width, width, reduction, stride=reduction)
            self.norm = nn.LayerNorm(width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the attended ``tokens`` ``[B, N, D]``."""
        query = torch.unflatten(self.q(tokens), 2, (self.num_heads, -1)).transpose(1, 2)
        both = torch.unflatten(self.kv(self.reduced(tokens)), 2, (2, self.num_heads, -1))
        key, value = both.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        joined: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return joined

    def reduced(self, tokens: Tensor) -> Tensor:
        """Return the tokens ``[B, M, D]`` that keys and values are made of."""
        if self.sr is None or self.norm is None:
            return tokens
        side = math.isqrt(tokens.shape[1])
        maps = self.sr(torch.unflatten(tokens.transpose(1, 2), 2, (side, side)))
        smaller: Tensor = self.norm(maps.flatten(2).transpose(1, 2))
        return smaller
