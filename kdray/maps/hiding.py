"""Images whose parts are hidden, and what the scores lose by it (occlusion, and for SHAP)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from kdray.maps.masks import softmax
from kdray.maps.raw import Raw
from kdray.maps.scaling import ROUNDING
from kdray.spec.terms import Baseline, Score, Sign

Floats = NDArray[np.float32]
#: Batches of masks, bool ``[b, H, W]``: the places that stay; of one image, in order.
Kept = Iterator[NDArray[np.bool_]]
#: The number of an image and masks to the logits ``[n, C]`` of it with the rest hidden.
Behind = Callable[[int, Kept], Floats]
#: Standard deviation of the blur, as a share of the image's height: 11 px at 224.
BLUR = 0.05
REASON = "the map is blank: hiding no part of the image lowers the score of this class."


@dataclass(frozen=True)
class Windows:
    """The windows of occlusion, and what is shown of it; see ``kdray/explain/occlusion.py``."""

    window: float = 0.143
    stride: float = 0.0715
    score: Score = "logit"
    sign: Sign = "positive"


def occlusion(
    settings: Windows,
    classes: NDArray[np.int64],
    size: tuple[int, int],
    batch: int,
    behind: Behind,
) -> Raw:
    """Return what of images ``[B, c, H, W]`` their classes miss when it is hidden.

    Args:
        settings: The windows.
        classes: ``[B, K]``.
        size: Height and width of the images.
        batch: Masks in one batch.
        behind: Looks at an image with parts hidden.
    """
    rows, columns = (_windows(side, settings) for side in size)
    found = []
    for image, wanted in enumerate(classes):
        logits = behind(image, _kept(rows, columns, batch))
        scores = beyond_rounding(scores_of(logits, settings.score)[:, wanted])
        falls = (scores[:1] - scores[1:]).reshape(len(rows), len(columns), -1)
        found.append(_spread(falls, rows, columns))
    maps = np.stack(found)
    drawn = signed(maps, settings.sign)
    forwards = len(classes) * passes(size, settings)
    return Raw(drawn, forwards, reasons=nothing_speaks(maps, drawn, REASON))


def passes(size: tuple[int, int], settings: Windows) -> int:
    """Return how many forward passes the occlusion of an image takes."""
    rows, columns = (_windows(side, settings) for side in size)
    return 1 + len(rows) * len(columns)


def baseline_of(images: Floats, kind: Baseline) -> Floats:
    """Return what stands for nothing in images ``[B, c, H, W]``, of their size.

    ``mean`` is 0, for images are standardised by the mean of the training images.
    """
    if kind == "mean":
        return np.zeros_like(images)
    if kind == "darkest":
        return np.broadcast_to(images.min(axis=(2, 3), keepdims=True), images.shape)
    height, width = images.shape[2:]
    sigma = BLUR * height
    reach = min(ceil(3 * sigma), min(height, width) - 1)
    rows, columns = (_blur(side, sigma, reach) for side in (height, width))
    return np.asarray(rows @ images @ columns.T, dtype=np.float32)


def scores_of(logits: Floats, score: Score) -> Floats:
    """Return logits, or probabilities, ``[n, C]``."""
    return logits if score == "logit" else softmax(logits, axis=1)


def beyond_rounding(scores: Floats) -> Floats:
    """Return scores ``[n, C]``, those of a class all equal where they differ by rounding alone.

    The probability of a class that the network is sure of is 1 with anything hidden; what is left
    of it is noise, and no map.
    """
    spread = scores.max(axis=0) - scores.min(axis=0)
    return np.where(spread <= ROUNDING * np.abs(scores).max(axis=0), scores[:1], scores)


def signed(maps: Floats, sign: Sign) -> Floats:
    """Return the positive part of maps, or their absolute values."""
    return maps.clip(0) if sign == "positive" else np.abs(maps)


def nothing_speaks(maps: Floats, drawn: Floats, reason: str) -> dict[tuple[int, int], str]:
    """Return (image, place) -> the reason for maps ``[B, K, h, w]`` that lost all to their sign.

    A map that was 0 before is left to what every explanation says of blank maps.
    """
    lost = (drawn.max(axis=(2, 3)) == 0) & (np.abs(maps).max(axis=(2, 3)) > 0)
    return {(image, place): reason for image, place in np.argwhere(lost).tolist()}


def _windows(side: int, settings: Windows) -> NDArray[np.bool_]:
    """Return which of ``side`` pixels each window along one axis hides, bool ``[n, side]``."""
    size, step = max(1, round(settings.window * side)), max(1, round(settings.stride * side))
    starts = np.arange(ceil((side - size) / min(step, size)) + 1)[:, None] * min(step, size)
    at = np.arange(side)
    return np.asarray((at >= starts) & (at < starts + size))


def _kept(rows: NDArray[np.bool_], columns: NDArray[np.bool_], batch: int) -> Kept:
    """Yield batches of masks: nothing hidden, then each window, row by row."""
    yield np.ones((1, rows.shape[1], columns.shape[1]), dtype=np.bool_)
    places = np.argwhere(np.ones((len(rows), len(columns)), dtype=np.bool_))
    for start in range(0, len(places), batch):
        row, column = places[start : start + batch].T
        yield ~(rows[row, :, None] & columns[column, None, :])


def _spread(falls: Floats, rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> Floats:
    """Return for each pixel the mean of the windows that hide it, ``[K, H, W]``.

    Args:
        falls: ``[n, m, K]``: of the window in each row and column.
        rows: ``[n, H]``: where a window of the row hides.
        columns: ``[m, W]``.
    """
    down, across = rows.astype(np.float32), columns.astype(np.float32)
    total = down.T @ np.moveaxis(falls, 2, 0) @ across
    mean: Floats = total / (down.sum(axis=0)[:, None] * across.sum(axis=0))
    return mean


@lru_cache(maxsize=16)
def _blur(side: int, sigma: float, reach: int) -> Floats:
    """Return a Gaussian along an axis, mirrored at its ends, ``[side, side]``."""
    steps = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    places = np.abs(np.arange(side)[:, None] + steps)
    places = np.where(places < side, places, 2 * (side - 1) - places)
    blur = np.zeros((side, side))
    np.add.at(blur, (np.arange(side)[:, None], places), weights / weights.sum())
    return blur.astype(np.float32)
