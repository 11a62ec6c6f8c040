"""CBAM as HDKD uses it: channel attention, spatial attention, and a residual around both."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Cbam(nn.Module):
    """Weigh channels, then places, and add the input: ``[B, D, h, w] -> [B, D, h, w]``.

    HDKD eq. 3-5: F' = Mc(F) * F, F'' = Ms(F') * F', with Mc = sigmoid(fc(mean) + fc(max)) over the
    places and Ms = sigmoid(conv 7x7 of [mean, max]) over the channels (CBAM: Woo et al., 2018).

    Differs: the result is F + F'', as in the published counts and code; eq. 3 has no residual.
    The layers are GELU and have no bias, again as in the counts.
    """

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        self.mean, self.peak = nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)
        self.channels = nn.Sequential(
            nn.Conv2d(width, width // reduction, 1, bias=False),
            nn.GELU(),
            nn.Conv2d(width // reduction, width, 1, bias=False),
        )
        self.places = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the weighted maps plus ``maps`` ``[B, D, h, w]``."""
        mean, peak = self.channels(self.mean(maps)), self.channels(self.peak(maps))
        weighted = maps * torch.sigmoid(mean + peak)
        summary = torch.cat([weighted.mean(1, keepdim=True), weighted.amax(1, keepdim=True)], 1)
        return maps + weighted * torch.sigmoid(self.places(summary))
