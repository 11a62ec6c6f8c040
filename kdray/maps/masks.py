"""Score-CAM's masks: a layer's channels, scaled to [0, 1], and maps weighed by what they score.

A mask is kept at the layer's own size and enlarged only in the batch that needs it: scaling and
enlarging are both linear, so their order does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kdray.maps.scaling import between_corners

Floats = NDArray[np.float32]
#: pytorch-grad-cam's guard against dividing by the range of a constant channel.
EPSILON = 1e-8
NEGATIVE = (
    "the weighted map is nowhere positive: the channels that the class weighs most are negative "
    "(hard-swish, SiLU and GELU give such maps)."
)


def masks_of(maps: Floats, image_size: tuple[int, int]) -> Floats:
    """Return channels ``[D, h, w]`` as masks, each in [0, 1] once enlarged to the image.

    A constant channel's mask is 0.

    Args:
        maps: ``[D, h, w]``.
        image_size: Height and width of the image.
    """
    rows, columns = (
        between_corners(small, large)[_beside_nodes(small, large)]
        for small, large in zip(maps.shape[1:], image_size, strict=True)
    )
    enlarged = rows @ maps @ columns.T  # where the extremes of the whole can be
    low, high = enlarged.min(axis=(1, 2)), enlarged.max(axis=(1, 2))
    is_constant = maps.min(axis=(1, 2)) == maps.max(axis=(1, 2))
    scale = np.where(is_constant, 0, 1 / (high - low + EPSILON)).astype(maps.dtype)
    masks: Floats = (maps - low[:, None, None]) * scale[:, None, None]
    masks[is_constant] = 0  # an infinite channel would give NaN
    return masks


def distinct(masks: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the masks ``[n, h, w]`` that differ, and for each of ``[D, h, w]`` which it is."""
    found: dict[bytes, int] = {}
    # The bytes tell; adding 0 makes one of both zeros.
    rows = [row.tobytes() for row in masks.reshape(len(masks), -1) + 0.0]
    places = np.array([found.setdefault(row, len(found)) for row in rows], dtype=np.int64)
    first = np.unique(places, return_index=True)[1]
    return masks[first], places


def weighted(scores: Floats, maps: Floats) -> Floats:
    """Return ``[..., K, h, w]``: sum_d softmax_d(scores)_dk A_d; the map is its positive part.

    Args:
        scores: ``[..., D, K]``: the class scores of each channel.
        maps: ``[D, h, w]``.
    """
    sums = softmax(scores, axis=-2).swapaxes(-1, -2) @ maps.reshape(len(maps), -1)
    found: Floats = sums.reshape(*sums.shape[:-1], *maps.shape[1:])
    return found


def softmax(scores: Floats, axis: int) -> Floats:
    """Return shares that add up to 1 along an axis."""
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    shares: Floats = powers / powers.sum(axis=axis, keepdims=True)
    return shares


def nowhere_positive(sums: Floats) -> Mapping[tuple[int, int], str]:
    """Return (image, place) -> the reason, for each map that is blank for its negative channels.

    Args:
        sums: ``[B, K, h, w]``, of ``weighted``.
    """
    is_negative = (sums.max(axis=(2, 3)) <= 0) & (sums.min(axis=(2, 3)) < 0)
    return {(image, place): NEGATIVE for image, place in np.argwhere(is_negative).tolist()}


def _beside_nodes(small: int, large: int) -> NDArray[np.int64]:
    """Return the places of the enlarged axis next to the small one's, where extremes are."""
    steps = np.arange(small) * (large - 1)
    span = max(small - 1, 1)
    return np.unique(np.concatenate([steps // span, -(-steps // span)]))
