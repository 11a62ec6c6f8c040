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
        split = torch.unflatten(output, 2, (3, attend.num_heads, -1))  # [B, N, 3, heads, d]
        query, key, _ = split.permute(2, 0, 3, 1, 4)
        query = getattr(attend, "q_norm", nn.Identity())(query)
        key = getattr(attend, "k_norm", nn.Identity())(key)
        weights = _weights(query, key, attend.scale, tokens.prefix)
        return torch.unflatten(weights[:, tokens.prefix :], 1, tokens.grid)

    return maps


def reduced_keys(prefix: int = 0) -> Maps:
    """Return the attention of a block whose keys are of a smaller map (PVT, PVT version 2).

    Args:
        prefix: Tokens before the patches; the first one's query is taken, else the mean query.
    """

    def maps(attend: Any, tokens: Tensor) -> Tensor:
        """Take the attention module and its input, ``[B, N, D]``; give ``[B, h, w]``."""
        query = torch.unflatten(attend.q(tokens), 2, (attend.num_heads, -1)).transpose(1, 2)
        both = torch.unflatten(attend.kv(_smaller(attend, tokens)), 2, (2, attend.num_heads, -1))
        key = both.permute(2, 0, 3, 1, 4)[0]
        return _grid(_weights(query, key, attend.scale, prefix)[..., prefix:])

    return maps


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
