"""Superpixels: an image in parts that are hidden together."""

from __future__ import annotations

import torch
from torch import Tensor


def superpixels(image: Tensor, count: int, kind: str) -> Tensor:
    """Return which part each place belongs to, int64 ``[H, W]``, counted from 0.

    Args:
        image: ``[c, H, W]``.
        count: About how many parts.
        kind: ``slic`` (skimage; by place and colour, Achanta et al., 2012) or ``grid``.
    """
    return _grid(image, count) if kind == "grid" else _slic(image, count)


def _grid(image: Tensor, count: int) -> Tensor:
    side = max(1, round(count**0.5))
    rows, columns = (torch.arange(length) * side // length for length in image.shape[1:])
    parts = rows[:, None] * side + columns
    return _counted(parts)  # an image of fewer pixels has no part for some numbers


def _slic(image: Tensor, count: int) -> Tensor:
    from skimage.segmentation import slic  # slow to import

    colours = image.detach().float().cpu()
    if colours.min() == colours.max():
        return _grid(image, count)
    if len(colours) != 3:  # its balance of place and colour is meant for the 100 steps of Lab
        colours = colours.mean(dim=0, keepdim=True).expand(3, -1, -1)
    parts = slic(colours.permute(1, 2, 0).numpy(), count, start_label=0, channel_axis=-1)
    return _counted(torch.from_numpy(parts))


def _counted(parts: Tensor) -> Tensor:
    counted: Tensor = torch.unique(parts, return_inverse=True)[1]
    return counted
