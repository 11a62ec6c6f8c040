"""Pixels as a network takes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kdray.images import Pixels

Floats = NDArray[np.float32]


class Standard:
    """Standardises pixels, to the last bit as ``kdray.data.Views.plain`` does for training.

    Args:
        mean: What pixels are standardised by, 0..1, one a channel.
        std: The same of the deviation.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        means, deviations = np.array(mean)[:, None, None], np.array(std)[:, None, None]
        self._factor = (1 / (255 * deviations)).astype(np.float32)
        self._offset = (-means / deviations).astype(np.float32)

    def __call__(self, images: Pixels) -> Floats:
        """Return images ``[B, H, W, c]`` as float32 ``[B, c, H, W]``."""
        standard = images.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        standard *= self._factor
        standard += self._offset
        return standard
