"""Whether maps show something, on which grid they are compared, and how alike they are."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.floating[Any]]
Values = NDArray[np.float64]
#: Largest side of the common grid on which maps of two networks are compared.
GRID = 56
#: Gaussian window of the SSIM, in pixels of the grid: 11 x 11, as in Wang et al. (2004).
SIGMA, RADIUS = 1.5, 5
#: The constants of the SSIM for values in [0, 1] (Wang et al.).
_C1, _C2 = 0.01**2, 0.03**2
#: Pairs of maps whose SSIM is computed at once: more leave the processor's cache.
_TOGETHER = 32
#: A map of a smaller range is constant but for rounding.
_ROUNDING = 1e-9


def on_grid(maps: Maps, side: int = GRID) -> NDArray[np.float32]:
    """Return maps ``[N, H, W]`` averaged down to at most ``side`` x ``side``; never enlarged.

    Whatever finer structure a map has comes from its enlargement, and costs time.
    """
    height, width = maps.shape[1:]
    values = np.asarray(maps, dtype=np.float32)
    if max(height, width) <= side:
        return values
    rows, columns = (_means(length, min(length, side)) for length in (height, width))
    return np.asarray(rows @ values @ columns.T)


@lru_cache(maxsize=64)
def _means(length: int, cells: int) -> NDArray[np.float32]:
    """Return what each cell along an axis is the mean of, ``[cells, length]``."""
    weights = np.zeros((cells, length), np.float32)
    for cell in range(cells):
        start, end = cell * length // cells, -(-(cell + 1) * length // cells)
        weights[cell, start:end] = 1 / (end - start)
    return weights


def rows_of(maps: NDArray[Any]) -> Values:
    """Return maps ``[N, H, W]`` as ``[N, H * W]``."""
    values = np.asarray(maps, dtype=np.float64)
    return values.reshape(len(values), math.prod(values.shape[1:]))


def usable(maps: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of ``N`` maps are finite and not constant."""
    rows = rows_of(maps)
    known = np.asarray(np.isfinite(rows).all(axis=1))
    return np.asarray(known & (np.ptp(np.where(known[:, None], rows, 0), axis=1) > _ROUNDING))


def pearson(first: NDArray[Any], second: NDArray[Any]) -> Values:
    """Return the correlation over pixels of each pair of ``N`` maps; NaN where one is blank."""
    found = np.full(len(first), np.nan)
    both = usable(first) & usable(second)
    ours, theirs = _standardised(rows_of(first)[both]), _standardised(rows_of(second)[both])
    found[both] = (ours * theirs).sum(axis=1)
    return found


def _standardised(rows: Values) -> Values:
    """Return rows of mean 0 and length 1."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).sum(axis=1, keepdims=True)))


def ssim(first: NDArray[Any], second: NDArray[Any]) -> Values:
    """Return the structural similarity of each pair of ``N`` maps in [0, 1]; NaN where blank.

    Wang et al. (2004): Gaussian window of 11 x 11 pixels with standard deviation 1.5, data range
    1, mean over the places where the window fits; of a map smaller than it, the middle alone.
    """
    found = np.full(len(first), np.nan)
    known = np.flatnonzero(usable(first) & usable(second))
    rows, columns = (_windows(side, min(first.shape[1:])) for side in first.shape[1:])
    for start in range(0, len(known), _TOGETHER):
        some = known[start : start + _TOGETHER]
        ours, theirs = (np.asarray(maps[some], dtype=np.float64) for maps in (first, second))
        found[some] = _similar(ours, theirs, rows, columns)
    return found


def _similar(ours: Values, theirs: Values, rows: Values, columns: Values) -> Values:
    """Return the mean structural similarity of pairs of maps ``[n, H, W]`` over the windows."""

    def seen(values: Values) -> Values:
        return np.asarray(rows @ values @ columns.T)

    mean, other = seen(ours), seen(theirs)
    spread = seen(ours**2) - mean**2 + seen(theirs**2) - other**2
    shared = seen(ours * theirs) - mean * other
    light = (2 * mean * other + _C1) / (mean**2 + other**2 + _C1)
    return np.asarray((light * (2 * shared + _C2) / (spread + _C2)).mean(axis=(1, 2)))


@lru_cache(maxsize=64)
def _windows(side: int, least: int) -> Values:
    """Return the Gaussian windows along an axis of ``side`` pixels, ``[places, side]``.

    Products of matrices are several times as fast as skimage, one pair after the other. Beyond
    the edge the pixels come again in reverse order, as in skimage.
    """
    margin = min(RADIUS, (least - 1) // 2)
    window = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    window /= window.sum()
    mirrored = np.pad(np.eye(side), ((RADIUS, RADIUS), (0, 0)), mode="symmetric")
    windows = sum(weight * mirrored[step : step + side] for step, weight in enumerate(window))
    return np.asarray(windows)[margin : side - margin]


def overlap(first: NDArray[Any], second: NDArray[Any], share: float = 0.2) -> Values:
    """Return the intersection over union of the highest ``share`` of pixels of each pair of maps.

    The highest pixels of a map are those above its own quantile, so that ties at the quantile
    fall out together. NaN where a map is blank or has no pixel above it.
    """
    found = np.full(len(first), np.nan)
    both = usable(first) & usable(second)
    ours, theirs = (_highest(rows_of(maps)[both], share) for maps in (first, second))
    union = (ours | theirs).sum(axis=1)
    shared = (ours & theirs).sum(axis=1) / np.maximum(union, 1)
    found[both] = np.where(ours.any(axis=1) & theirs.any(axis=1), shared, np.nan)
    return found


def _highest(rows: Values, share: float) -> NDArray[np.bool_]:
    return np.asarray(rows > np.quantile(rows, 1 - share, axis=1, keepdims=True))
