"""Numbers of images and runs as means with intervals over both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray import measure

Numbers = NDArray[np.floating[Any]]


def measured(
    runs: Sequence[Numbers | Sequence[float]], confidence: float
) -> dict[str, Any] | None:
    """Return the mean of a score with its interval over images, and over runs where several.

    Args:
        runs: One number an image ``[N]`` of each run; NaN where it is not defined.
        confidence: Level of the intervals.

    Returns:
        ``mean``, ``std``, ``low``, ``high``, ``n`` and ``over`` (``images``) of each image's mean
        over the runs, and ``seeds``, the same over the runs' means or None. None where no image
        has a number.
    """
    values = np.array([np.asarray(run, dtype=np.float64) for run in runs])
    if not np.isfinite(values).any():
        return None
    of_images, of_runs = means(values, axis=0), means(values, axis=1)
    known = of_runs[np.isfinite(of_runs)]
    seeds = measure.interval(known.tolist(), confidence) if len(known) > 1 else None
    over_images = measure.over_images(of_images[np.isfinite(of_images)], confidence)
    return {**over_images, "seeds": None if seeds is None else dict(seeds)}


def means(values: Numbers, axis: int) -> NDArray[np.float64]:
    """Return the mean of the finite values along an axis; NaN where there are none."""
    known = np.isfinite(values)
    counts = known.sum(axis=axis)
    sums = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
