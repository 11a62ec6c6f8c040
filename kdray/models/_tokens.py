"""The transformer of HDKD's student (DFLT): a map to tokens, three layers over them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Side of a patch, in cells of the map.
PATCH = 2
WIDTH, LAYERS, HEADS, HIDDEN = 256, 3, 8, 1024


class Transformer(nn.Module):
    """Tokens of a map: ``[B, D, side, side] -> [B, prefix + N, 256]``, normalised.

    HDKD eq. 1 and 2: 2x2 patches are flattened and embedded; x + MSA(LN(x)), then x + MLP(x).

    Differs: eq. 2 normalises in front of the MLP and writes 1x1 convolutions; the published counts
    have no such norm. Positions are learned for one image size.

    Args:
        width: Channels ``D`` of the map.
        side: Height and width of the map; an odd one is filled up with zeros.
        prefix: Tokens in front of the patches: 1 (class) or 2 (class and distillation).
    """

    def __init__(self, width: int, side: int, prefix: int) -> None:
        super().__init__()
        self.width, self.prefix = WIDTH, prefix
        self.side = -(-side // PATCH)
        inputs = width * PATCH * PATCH
        self.embed = nn.Sequential(
            nn.LayerNorm(inputs), nn.Linear(inputs, WIDTH), nn.LayerNorm(WIDTH)
        )
        self.prefixes = nn.Parameter(torch.randn(1, prefix, WIDTH))
        self.positions = nn.Parameter(torch.randn(1, prefix + self.side**2, WIDTH))
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the tokens of ``maps`` ``[B, D, h, w]``."""
        tokens = self.embed(patches(maps, self.side * PATCH))
        # The exporter to ONNX knows that the number of maps varies, not that of the tokens.
        prefixes = self.prefixes.expand(maps.shape[0], -1, -1)
        tokens = torch.cat([prefixes, tokens], dim=1) + self.positions
        for layer in self.layers:
            tokens = layer(tokens)
        normalised: Tensor = self.norm(tokens)
        return normalised


def patches(maps: Tensor, side: int) -> Tensor:
    """Return the 2x2 patches of ``maps`` ``[B, D, h, w]`` padded to ``side``: ``[B, N, 4 D]``."""
    missing = side - maps.shape[-1]
    padded = functional.pad(maps, (0, missing, 0, missing)) if missing else maps
    cells = torch.unflatten(torch.unflatten(padded, 3, (-1, PATCH)), 2, (-1, PATCH))
    # From [B, D, rows, 2, columns, 2].
    return cells.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


class SelfAttention(nn.Module):
    """Multi-head self-attention over tokens ``[B, N, D]``.

    The products are written out, for the counter of operations that the paper used (ptflops) does
    not see a fused kernel; with some 200 tokens that is as fast.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the attended tokens."""
        split = torch.unflatten(self.qkv(tokens), 2, (3, self.num_heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        products = torch.matmul(self.scale * query, key.transpose(2, 3))
        weights = functional.softmax(products, dim=-1)
        attended = torch.matmul(weights, value)  # [B, heads, N, d]
        joined: Tensor = self.project(attended.transpose(1, 2).flatten(2))
        return joined


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.attend = SelfAttention(WIDTH, HEADS)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attend(self.norm(tokens))
        added: Tensor = tokens + self.mlp(tokens)
        return added
