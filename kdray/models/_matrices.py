"""Whole attention matrices of transformer blocks, computed again when somebody asks.

``[B, N, N]``, mean over the heads; each row is what one token gives to all and sums to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kdray.models._attention import of_cells, of_smaller, of_windows, queries_and_keys

Matrix = Callable[[nn.Module, Tensor], Tensor]


def token_matrix(attend: Any) -> Matrix:
    """Return the matrix of a block that keeps its tokens (ViT, DeiT, HDKD).

    Args:
        attend: As for ``class_token``.
    """

    def matrix(_qkv: nn.Module, output: Tensor) -> Tensor:
        """Take the output of ``attend.qkv``, ``[B, N, 3 D]``."""
        return _softmaxed(*queries_and_keys(attend, output), attend.scale)

    return matrix


def cell_matrix(attend: Any) -> Matrix:
    """Return the matrix of a block that keeps its maps (Visformer, CoAtNet), row by row.

    Args:
        attend: As for ``map_queries``.
    """

    def matrix(_qkv: nn.Module, output: Tensor) -> Tensor:
        """Take the output of ``attend.qkv``, ``[B, 3 D, h, w]``."""
        queries, keys, bias = of_cells(attend, output)
        return _softmaxed(queries, keys, attend.scale, bias)

    return matrix


def window_matrix(block: Any) -> Matrix | None:
    """Return the matrix of a Swin block, 0 outside each window; None where windows are padded.

    Args:
        block: As for ``windows``.
    """
    (high, wide), (height, width) = block.window_size, block.input_resolution
    if height % high or width % wide:
        return None
    cells = torch.arange(height * width).reshape(height, width)
    shifted = torch.roll(cells, tuple(-shift for shift in block.shift_size), (0, 1))
    places = shifted.reshape(height // high, high, width // wide, wide).transpose(1, 2)
    places = places.reshape(-1, high * wide)

    def matrix(_qkv: nn.Module, output: Tensor) -> Tensor:
        """Take the output of ``attn.qkv``, ``[B * windows, N, 3 D]``."""
        bias = of_windows(block, len(output) // len(places))
        asked = queries_and_keys(block.attn, output)
        return _scattered(_softmaxed(*asked, block.attn.scale, bias), places)

    return matrix


def offset_matrix(attend: Any, patch: tuple[int, int]) -> Matrix:
    """Return the matrix of a MobileViT layer, 0 between cells at other places of their patches.

    Args:
        attend: The attention module.
        patch: Height and width of a patch, in cells.
    """
    high, wide = patch

    def matrix(_qkv: nn.Module, output: Tensor) -> Tensor:
        """Take the output of ``attend.qkv``, ``[B * places, N, 3 D]``."""
        side = round(output.shape[1] ** 0.5)
        cells = torch.arange(side * high * side * wide).reshape(side, high, side, wide)
        places = cells.permute(1, 3, 0, 2).reshape(high * wide, -1)
        asked = queries_and_keys(attend, output)
        return _scattered(_softmaxed(*asked, attend.scale), places)

    return matrix


def square_matrix(attend: Any) -> Matrix | None:
    """Return the matrix of a block of PVT; None where its keys are of a smaller map.

    Args:
        attend: The attention module.
    """
    if attend.sr is not None:
        return None

    def matrix(_attend: nn.Module, tokens: Tensor) -> Tensor:
        """Take the input of the attention module, ``[B, N, D]``."""
        return _softmaxed(*of_smaller(attend, tokens), attend.scale)

    return matrix


def _softmaxed(query: Tensor, key: Tensor, scale: float, bias: Any = 0) -> Tensor:
    """Return the mean over the heads of softmax(scale q k^T + bias), ``[B, N, N]``."""
    weights: Tensor = (scale * query @ key.transpose(2, 3) + bias).softmax(-1)
    return weights.mean(1)


def _scattered(weights: Tensor, places: Tensor) -> Tensor:
    """Return the weights of groups of tokens as one matrix of all tokens.

    Args:
        weights: ``[B * G, n, n]``, the groups of an image in a row.
        places: ``[G, n]``: which of the ``G n`` tokens each group holds.
    """
    groups, tokens = places.shape
    apart = torch.unflatten(weights, 0, (-1, groups))
    whole = weights.new_zeros(len(apart), groups * tokens, groups * tokens)
    whole[:, places[:, :, None], places[:, None, :]] = apart
    return whole
