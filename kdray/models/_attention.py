"""Attention weights of transformer blocks, computed again when somebody asks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kdray.net import Tap

Maps = Callable[[nn.Module, Tensor], Tensor]


def class_token(attend: Any, tokens: Tap) -> Maps:
    """Return what the class token gives to each patch, mean over the heads (DFKD eq. 3).

    Softmax(scale q_class k^T) of the class token's query alone; the fused kernel of the block
    stays as it is. Without a class token: the mean over all queries.

    Args:
        attend: The attention module, with ``num_heads``, ``scale`` and, where queries and keys
            are normalised, ``q_norm`` and ``k_norm``.
        tokens: The grid of the patches and the tokens before them.
    """

    def maps(_qkv: nn.Module, output: Tensor) -> Tensor:
        """Take the output of ``attend.qkv``, ``[B, N, 3 D]``; give ``[B, h, w]``."""
        asked = queries_and_keys(attend, output)
        weights = _weights(*asked, attend.scale, tokens.prefix)
        return torch.unflatten(weights[:, tokens.prefix :], 1, tokens.grid)

    return maps


def map_queries(attend: Any) -> Maps:
    """Return the mean query's attention of a block that keeps its maps (Visformer, CoAtNet).

    Args:
        attend: The attention module; ``head_first`` tells how its output is split, ``rel_pos``
            what is added to the products.
    """

    def maps(_qkv: nn.Module, output: Tensor) -> Tensor:
        """Take the output of ``attend.qkv``, ``[B, 3 D, h, w]``; give ``[B, h, w]``."""
        queries, keys, bias = of_cells(attend, output)
        weights = _weights(queries, keys, attend.scale, prefix=0, bias=bias)
        return torch.unflatten(weights, 1, (output.shape[2], output.shape[3]))

    return maps


def windows(block: Any) -> Maps:
    """Return the mean query's attention of each window of a Swin block, put together to one map.

    The weights of a window sum to 1, so those of the map sum to the number of windows, less what
    falls on padding.

    Args:
        block: The block, with its window, shift, mask and input size.
    """
    attend = block.attn

    def maps(_qkv: nn.Module, output: Tensor) -> Tensor:
        """Take the output of ``attn.qkv``, ``[B * windows, N, 3 D]``; give ``[B, h, w]``."""
        query, key = queries_and_keys(attend, output)
        (high, wide), (height, width) = block.window_size, block.input_resolution
        rows, columns = -(-height // high), -(-width // wide)
        bias = of_windows(block, output.shape[0] // (rows * columns))
        weights = _weights(query, key, attend.scale, prefix=0, bias=bias)
        cells = weights.reshape(-1, rows, columns, high, wide).transpose(2, 3)
        whole = cells.flatten(3).flatten(1, 2)[:, :height, :width]
        return torch.roll(whole, tuple(block.shift_size), (1, 2))

    return maps


def patch_offsets(attend: Any, patch: tuple[int, int]) -> Maps:
    """Return the mean query's attention of a MobileViT layer as one map.

    Its tokens are the cells of a map; a cell attends to those at the same place of every patch.
    The weights of each place in the patch sum to 1.

    Args:
        attend: The attention module.
        patch: Height and width of a patch, in cells.
    """

    def maps(_qkv: nn.Module, output: Tensor) -> Tensor:
        """Take the output of ``attend.qkv``, ``[B * places, N, 3 D]``; give ``[B, h, w]``."""
        query, key = queries_and_keys(attend, output)
        weights = _grid(_weights(query, key, attend.scale, prefix=0))
        cells = torch.unflatten(weights, 0, (-1, *patch))  # [B, high, wide, rows, columns]
        return cells.permute(0, 3, 1, 4, 2).flatten(3).flatten(1, 2)

    return maps


def reduced_keys(prefix: int = 0) -> Maps:
    """Return the attention of a block whose keys are of a smaller map (PVT, PVT version 2).

    Args:
        prefix: Tokens before the patches; the first one's query is taken, else the mean query.
    """

    def maps(attend: Any, tokens: Tensor) -> Tensor:
        """Take the attention module and its input, ``[B, N, D]``; give ``[B, h, w]``."""
        query, key = of_smaller(attend, tokens)
        return _grid(_weights(query, key, attend.scale, prefix)[..., prefix:])

    return maps


def queries_and_keys(attend: Any, output: Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and keys ``[B, heads, N, d]`` of the output of ``qkv``, ``[B, N, 3 D]``."""
    split = torch.unflatten(output, 2, (3, attend.num_heads, -1))  # [B, N, 3, heads, d]
    query, key, _ = split.permute(2, 0, 3, 1, 4)
    query = getattr(attend, "q_norm", nn.Identity())(query)
    return query, getattr(attend, "k_norm", nn.Identity())(key)


def of_cells(attend: Any, output: Tensor) -> tuple[Tensor, Tensor, Any]:
    """Return queries, keys ``[B, heads, N, d]`` and what is added to their products.

    Args:
        attend: As for ``map_queries``.
        output: Of ``attend.qkv``: ``[B, 3 D, h, w]``.
    """
    flat = output.flatten(2)
    if getattr(attend, "head_first", False):
        query, key, _ = torch.unflatten(flat, 1, (attend.num_heads, -1)).chunk(3, dim=2)
    else:
        query, key, _ = torch.unflatten(flat, 1, (3, attend.num_heads, -1)).unbind(1)
    relative = getattr(attend, "rel_pos", None)
    bias = 0 if relative is None else relative.get_bias()
    return query.transpose(2, 3), key.transpose(2, 3), bias


def of_windows(block: Any, batch: int) -> Any:
    """Return what a Swin block adds to the products in the windows of a batch."""
    bias = block.attn._get_rel_pos_bias()
    if block.attn_mask is None:
        return bias
    return bias + block.attn_mask.repeat(batch, 1, 1)[:, None]


def of_smaller(attend: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and the fewer keys ``[B, heads, M, d]`` of ``tokens`` ``[B, N, D]``."""
    query = torch.unflatten(attend.q(tokens), 2, (attend.num_heads, -1)).transpose(1, 2)
    both = torch.unflatten(attend.kv(_smaller(attend, tokens)), 2, (2, attend.num_heads, -1))
    return query, both.permute(2, 0, 3, 1, 4)[0]


def _smaller(attend: Any, tokens: Tensor) -> Tensor:
    """Return the tokens that the keys are made of, as the module itself makes them."""
    pool = getattr(attend, "pool", None)
    if attend.sr is None:
        return tokens
    side = math.isqrt(tokens.shape[1])
    maps = torch.unflatten(tokens.transpose(1, 2), 2, (side, side))
    smaller: Tensor = attend.norm(
        attend.sr(pool(maps) if pool else maps).flatten(2).transpose(1, 2)
    )
    acted: Tensor = attend.act(smaller) if pool else smaller
    return acted


def _weights(query: Tensor, key: Tensor, scale: float, prefix: int, bias: Any = 0) -> Tensor:
    """Return the attention ``[B, N]`` of the class token, or of the mean query, over the heads.

    Args:
        query: ``[B, heads, N, d]``; of these only the first where ``prefix``.
        key: ``[B, heads, M, d]``.
        scale: Factor of the products.
        prefix: Tokens before the patches.
        bias: Added to the scaled products.
    """
    asked = query[:, :, :1] if prefix else query
    weights: Tensor = (scale * asked @ key.transpose(2, 3) + bias).softmax(-1)
    return weights.mean((1, 2))


def _grid(weights: Tensor) -> Tensor:
    """Return ``[B, N]`` as the square ``[B, h, w]``."""
    side = math.isqrt(weights.shape[1])
    return torch.unflatten(weights, 1, (side, side))
