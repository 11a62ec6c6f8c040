"""What every explanation does to its maps: to the image's size, to [0, 1], never blank."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.maps.raw import Raw

Floats = NDArray[np.float32]
#: A map whose values differ by less than this share of the largest is constant but for rounding.
ROUNDING = 1e-6


def shown(raw: Raw, image_size: tuple[int, int]) -> tuple[Floats, dict[tuple[int, int], str]]:
    """Return a method's maps as they are shown, and why some are not.

    Args:
        raw: What the method gave.
        image_size: Height and width of the images.

    Returns:
        float32 ``[B, K, H, W]`` in [0, 1], NaN where a map shows nothing; and (image, place) ->
        why it shows nothing.
    """
    full = scaled(raw.maps, image_size)
    reasons = {**blank_reasons(raw.maps), **raw.reasons}
    for place in reasons:
        full[place] = np.nan
    return full, reasons


def scaled(maps: Floats, image_size: tuple[int, int]) -> Floats:
    """Return maps at the image's size (bilinear), each scaled to [0, 1] by its own range.

    Args:
        maps: ``[B, K, h, w]``, of any range.
        image_size: Height and width of the images.

    Returns:
        float32 ``[B, K, H, W]``. A constant map has no range: NaN, or rounding noise, which
        ``blank_reasons`` knows.
    """
    rows, columns = (
        between_centres(*sides) for sides in zip(maps.shape[2:], image_size, strict=True)
    )
    with np.errstate(all="ignore"):  # maps that are not finite, or constant
        full = rows @ (np.asarray(maps, dtype=np.float32) @ columns.T)
        low = full.min(axis=(2, 3), keepdims=True)
        full -= low
        full /= full.max(axis=(2, 3), keepdims=True)
    return full


def blank_reasons(maps: Floats) -> dict[tuple[int, int], str]:
    """Return (image, place) -> why that map of ``[B, K, h, w]`` is constant or not finite."""
    low, high = maps.min(axis=(2, 3)), maps.max(axis=(2, 3))  # NaN wins both
    reasons = {}
    for image, ranges in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        for place, (least, most) in enumerate(zip(*ranges, strict=True)):
            if not math.isfinite(most - least):
                reasons[image, place] = "the map holds NaN or infinite values."
            elif most - least <= ROUNDING * max(abs(least), abs(most)):
                reasons[image, place] = f"the map is blank: every value is {most:.3g}."
    return reasons


@lru_cache(maxsize=64)
def between_centres(cells: int, pixels: int) -> Floats:
    """Return the shares ``[pixels, cells]`` that the cells of a line have in its pixels.

    Bilinear between the centres of cells and pixels; the outermost cells reach to the edge.
    """
    places = (np.arange(pixels) + 0.5) * (cells / pixels) - 0.5
    return _shares(places.clip(0, cells - 1), cells)


@lru_cache(maxsize=64)
def between_corners(cells: int, pixels: int) -> Floats:
    """Return the same where the outermost cells lie on the outermost pixels (aligned corners)."""
    return _shares(np.arange(pixels) * ((cells - 1) / max(pixels - 1, 1)), cells)


@lru_cache(maxsize=64)
def shrinking(cells: int, fewer: int) -> Floats:
    """Return the shares ``[fewer, cells]`` that the cells of a line have in fewer, larger ones.

    Each is the mean of the cells that it touches, as PyTorch's ``adaptive_avg_pool2d`` has it.
    """
    number, at = np.arange(fewer), np.arange(cells)
    first, end = number * cells // fewer, -(-(number + 1) * cells // fewer)
    inside = (at >= first[:, None]) & (at < end[:, None])
    shares: Floats = (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _shares(places: NDArray[Any], cells: int) -> Floats:
    """Return what the two cells beside each place have in it, ``[pixels, cells]``."""
    first = np.floor(places).astype(np.int64).clip(0, max(cells - 2, 0))
    second = np.minimum(first + 1, cells - 1)
    shares = np.zeros((len(places), cells))
    lines = np.arange(len(places))
    np.add.at(shares, (lines, first), 1 - (places - first))
    np.add.at(shares, (lines, second), places - first)
    return shares.astype(np.float32)
