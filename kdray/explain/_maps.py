"""What every explanation does to its maps: to the image's size, to [0, 1], never blank."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from kdray.errors import ExplainError

_REMEDY = "Explain with another method, or give the setting `tap` another layer."


def finished(maps: Tensor, image_size: tuple[int, int], method: str) -> Tensor:
    """Return maps at the image's size (bilinear), each scaled to [0, 1] by its own range.

    Args:
        maps: ``[B, h, w]``, of any range.
        image_size: Height and width of the images.
        method: Name of the explanation, for the error.

    Returns:
        float32 ``[B, H, W]``.

    Raises:
        ExplainError: A map is blank or not finite.
    """
    full = interpolate(maps.detach().float()[:, None], image_size, mode="bilinear")[:, 0]
    refuse_blank(full, method)
    low, high = full.amin(dim=(1, 2), keepdim=True), full.amax(dim=(1, 2), keepdim=True)
    return (full - low) / (high - low)


def refuse_blank(maps: Tensor, method: str) -> None:
    """Raise for the first map ``[H, W]`` of ``[B, H, W]`` that shows nothing.

    Raises:
        ExplainError: A map is constant, or holds NaN or infinite values; says which image.
    """
    for index, values in enumerate(maps):
        where = f"{method}, image {index}"
        if not torch.isfinite(values).all():
            raise ExplainError(where, "the map holds NaN or infinite values.", _REMEDY)
        low, high = float(values.min()), float(values.max())
        if high - low <= 1e-6 * max(abs(low), abs(high)):
            raise ExplainError(where, f"the map is blank: every value is {high:.3g}.", _REMEDY)
