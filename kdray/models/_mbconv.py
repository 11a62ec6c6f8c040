"""The convolution block of HDKD: inverted residual with SE (MBConv) or CBAM (MBCSA)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdray.models._cbam import Cbam

#: Hidden channels for each input channel.
EXPANSION = 4


class Block(nn.Module):
    """Expand, convolve each channel, attend, project, and add the input.

    ``[B, in, h, w] -> [B, out, h, w]``, or half the size where ``halve``. Fig. 1 of HDKD.

    Differs: the printed block has no batch norm on its input; the published counts have one. The
    stride is in the first 1x1 convolution, and the shortcut of a halving block is a max-pool and
    a 1x1 convolution.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        attention: ``mbcsa`` (CBAM) or ``mbconv`` (squeeze and excitation).
        halve: Whether the map becomes half as large.
    """

    def __init__(self, inputs: int, outputs: int, attention: str, halve: bool) -> None:
        super().__init__()
        hidden = EXPANSION * inputs
        attend = Cbam(hidden) if attention == "mbcsa" else Squeeze(hidden, inputs // 4)
        self.path = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, hidden, 1, stride=2 if halve else 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.GELU(),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.GELU(),
            attend,
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if halve:
            self.shortcut = nn.Sequential(
                nn.MaxPool2d(3, 2, 1), nn.Conv2d(inputs, outputs, 1, bias=False)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's maps of ``maps`` ``[B, in, h, w]``."""
        added: Tensor = self.path(maps) + self.shortcut(maps)
        return added


class Squeeze(nn.Module):
    """Squeeze and excitation (Hu et al., 2018) with GELU and without biases."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, hidden, bias=False),
            nn.GELU(),
            nn.Linear(hidden, width, bias=False),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``maps`` ``[B, D, h, w]`` with each channel weighed."""
        weights: Tensor = torch.sigmoid(self.layers(maps))
        return maps * weights[:, :, None, None]


def stage(inputs: int, outputs: int, blocks: int, attention: str) -> nn.Sequential:
    """Return a stage of blocks, the first of which halves the map."""
    return nn.Sequential(
        Block(inputs, outputs, attention, halve=True),
        *(Block(outputs, outputs, attention, halve=False) for _ in range(blocks - 1)),
    )
