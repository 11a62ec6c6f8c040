"""Attention rollout: what reaches the answer through all blocks' attention (Abnar and Zuidema).

"Quantifying Attention Flow in Transformers" (2020, arXiv:2005.00928): R = A_L ... A_1 with
A = 0.5 W + 0.5 I, W the attention of a block, mean over its heads, I its residual connection. The
map is the class token's row of R at the patches. Where a distillation token has a head too, the
mean of both tokens' rows, for the answer is the mean of both heads; without such tokens the mean
over all rows, for the answer is the mean of all tokens.

Differs: a network whose grid shrinks has no product over all blocks. Of such (Visformer, CoAtNet,
MobileViT, Swin, PVT, HDKD behind its convolutions) it is the product over the blocks of the last
grid: what of the map that enters them reaches the answer. What convolutions mix is not followed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.explain._subject import Subject, numbers
from kdray.explain._watch import hooked
from kdray.maps import Raw
from kdray.net import Attention, Net
from kdray.spec.strict import Strict

#: Whether the map of a class differs from that of another.
CLASSWISE = False
#: What an image costs, whatever the number of classes unless they are named.
COST = "1 forward; needs attention"
PRESETS = {"attention-rollout": {"params": {}, "source": "arXiv:2005.00928"}}
REMEDY = "Use gradcam or featuremaps."


class Params(Strict):
    """Attention rollout has no settings."""


def explain(params: Params, subject: Subject, images: Tensor, classes: Tensor) -> Raw:
    """Return which patches the answer attends to, in one forward pass.

    Args:
        params: No settings.
        subject: The classifier.
        images: ``[B, c, H, W]``, standardised.
        classes: int64 ``[B, K]``; the map does not depend on them.

    Raises:
        ModelError: The network has no attention from tokens to the same tokens.
    """
    blocks = _readable(subject.net)
    with torch.inference_mode():
        rows = _rolled(subject.net, blocks, images)
    patches = rows.mean(dim=1)[:, blocks[-1].prefix :]
    side = round(patches.shape[1] ** 0.5)
    maps = patches.reshape(-1, 1, side, side)
    wide = maps.expand(-1, classes.shape[1], -1, -1)
    return Raw(numbers(wide), forwards=len(images))


def _readable(net: Net) -> list[Attention]:
    """Return the blocks from the end on whose attention is a square matrix.

    Raises:
        ModelError: There is none.
    """
    if not net.attention:
        raise ModelError("rollout", "this model has no attention that could be read.", REMEDY)
    found: list[Attention] = []
    for block in reversed(net.attention):
        if block.matrix is None or (found and block.prefix != found[0].prefix):
            break
        found.insert(0, block)
    if not found:
        problem = "the tokens that this model's last block attends to are not those that ask."
        raise ModelError("rollout", problem, REMEDY)
    return found


def _rolled(net: Net, blocks: list[Attention], images: Tensor) -> Tensor:
    """Return the rows ``[B, n, N]`` of R that the answer is made of."""
    given = _given(net, blocks, images)
    rows = torch.empty(0)
    for block in reversed(blocks):
        matrix = given[block.path]().float()
        if not rows.numel():
            rows = _asking(net, block, matrix)
        if matrix.shape[1] != rows.shape[2]:
            break  # an earlier grid
        rows = 0.5 * rows @ matrix + 0.5 * rows
    return rows


def _given(net: Net, blocks: list[Attention], images: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Return how to compute the attention ``[B, N, N]`` of each block, from one forward pass.

    Early grids have large matrices, which nobody asks for.
    """
    seen: dict[str, Callable[[], Tensor]] = {}
    with ExitStack() as stack:
        for block in blocks:
            layer = net.module.get_submodule(block.path)
            stack.enter_context(hooked(layer, _reading(seen, block)))
        net.module(images)
    return seen


def _reading(seen: dict[str, Callable[[], Tensor]], block: Attention) -> Callable[..., None]:
    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if block.matrix is not None:
            given = inputs[0] if block.reads == "input" else output
            seen[block.path] = partial(block.matrix, layer, given)

    return hook


def _asking(net: Net, last: Attention, matrix: Tensor) -> Tensor:
    """Return the tokens that the answer is made of as rows of the identity, ``[B, n, N]``."""
    identity = torch.eye(matrix.shape[1], device=matrix.device).expand(len(matrix), -1, -1)
    if not last.prefix:
        return identity
    return identity[:, : 2 if "distillation" in net.heads else 1]
