"""Maps along their first principal component (Eigen-CAM; by the papers in ``kdray/explain``)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def principal(maps: Floats) -> Floats:
    """Return the places of maps ``[B, D, h, w]`` along their first component, ``[B, h, w]``.

    The channels' means are taken off first; the value farthest from 0 is positive. The
    eigenvectors of the smaller of the two products of the matrix with itself are enough, and far
    cheaper than all singular vectors.
    """
    images, channels, *grid = maps.shape
    places = maps.reshape(images, channels, -1).astype(np.float64)  # [B, D, N]
    centred = places - places.mean(axis=2, keepdims=True)
    finite = np.isfinite(centred).all(axis=(1, 2))
    first = np.full((images, centred.shape[2]), np.nan)
    first[finite] = _first(centred[finite])
    low, high = first.min(axis=1, keepdims=True), first.max(axis=1, keepdims=True)
    signed: Floats = np.where(-low > high, -first, first).astype(np.float32)
    return signed.reshape(images, *grid)


def _first(centred: NDArray[Any]) -> NDArray[Any]:
    """Return the first component of ``[B, D, N]``, ``[B, N]``, of either sign."""
    across = centred.swapaxes(1, 2)
    if centred.shape[2] <= centred.shape[1]:
        values, vectors = np.linalg.eigh(across @ centred)
        along: NDArray[Any] = vectors[:, :, -1] * np.sqrt(values[:, -1:].clip(0))
        return along
    _, vectors = np.linalg.eigh(centred @ across)
    first: NDArray[Any] = (across @ vectors[:, :, -1:])[:, :, 0]
    return first
