"""What all scores of maps share: those of ``kdray.maps``, and maps of chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kdray.maps.likeness import (
    GRID,
    Maps,
    Values,
    on_grid,
    overlap,
    pearson,
    rows_of,
    ssim,
    usable,
)

__all__ = [
    "GRID",
    "Maps",
    "Values",
    "on_grid",
    "overlap",
    "pearson",
    "random_maps",
    "rows_of",
    "ssim",
    "usable",
]


def random_maps(count: int, size: int, seed: int, cells: int = 7) -> NDArray[np.float32]:
    """Return smooth random maps: what a score is worth without looking at the model.

    Args:
        count: How many, ``N``.
        size: Height and width, pixels.
        seed: The same seed gives the same maps.
        cells: Rows and columns of independent values: the coarseness of a class activation map.

    Returns:
        float32 ``[N, size, size]`` in [0, 1].
    """
    values = np.random.default_rng(seed).random((count, cells, cells), dtype=np.float32)
    grown = [_resized(item, size) for item in values]
    return np.stack([(item - item.min()) / np.ptp(item) for item in grown])


def _resized(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(values).resize((size, size), Image.Resampling.BICUBIC))
