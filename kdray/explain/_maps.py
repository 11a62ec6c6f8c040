"""What every explanation does to its maps: to the image's size, to [0, 1], never blank."""

from __future__ import annotations

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
        float32 ``[B, K, H, W]``; a constant map has no range and becomes NaN.
    """
    full = maps.float()
    if full.shape[2:] != image_size:
        full = interpolate(full, image_size, mode="bilinear")
    low, high = full.amin(dim=(2, 3), keepdim=True), full.amax(dim=(2, 3), keepdim=True)
    return (full - low) / (high - low)


def blank_reasons(maps: Tensor) -> dict[tuple[int, int], str]:
    """Return (image, place) -> why that map of ``[B, K, h, w]`` is constant or not finite."""
    flat = maps.float().flatten(2)
    low, high = flat.amin(dim=2), flat.amax(dim=2)
    finite = torch.isfinite(low) & torch.isfinite(high)  # NaN wins amin and amax
    constant = high - low <= ROUNDING * torch.maximum(low.abs(), high.abs())
    reasons = {}
    for image, place in torch.nonzero(constant | ~finite).tolist():
        if not finite[image, place]:
            reasons[image, place] = "the map holds NaN or infinite values."
        else:
            reasons[image, place] = f"the map is blank: every value is {high[image, place]:.3g}."
    return reasons
