"""What every explanation does to its maps: to the image's size, to [0, 1], never blank."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

#: A map whose values differ by less than this share of the largest is constant but for rounding.
ROUNDING = 1e-6


def scaled(maps: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return maps at the image's size (bilinear), each scaled to [0, 1] by its own range.

    Args:
        maps: ``[B, K, h, w]``, of any range.
        image_size: Height and width of the images.

    Returns:
        float32 ``[B, K, H, W]``. A constant map has no range: NaN, or rounding noise, which
        ``blank_reasons`` knows.
    """
    # Two products of matrices are several times as fast as ``interpolate``.
    rows = _bilinear(maps.shape[2], image_size[0], maps.device)
    columns = _bilinear(maps.shape[3], image_size[1], maps.device)
    full = torch.matmul(rows, torch.matmul(maps.float(), columns.T))
    low, high = full.amin(dim=(2, 3), keepdim=True), full.amax(dim=(2, 3), keepdim=True)
    return full.sub_(low).div_(high - low)


def blank_reasons(maps: Tensor) -> dict[tuple[int, int], str]:
    """Return (image, place) -> why that map of ``[B, K, h, w]`` is constant or not finite."""
    low, high = torch.aminmax(maps.float().flatten(2), dim=2)  # NaN wins both
    reasons = {}
    for image, ranges in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        for place, (least, most) in enumerate(zip(*ranges, strict=True)):
            if not math.isfinite(most - least):
                reasons[image, place] = "the map holds NaN or infinite values."
            elif most - least <= ROUNDING * max(abs(least), abs(most)):
                reasons[image, place] = f"the map is blank: every value is {most:.3g}."
    return reasons


@lru_cache(maxsize=64)
def _bilinear(cells: int, pixels: int, device: torch.device) -> Tensor:
    """Return the shares ``[pixels, cells]`` that the cells of a line have in its pixels."""
    lines = torch.eye(cells, device=device)[None]
    return interpolate(lines, pixels, mode="linear")[0].T.contiguous()
