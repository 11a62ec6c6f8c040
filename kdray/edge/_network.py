"""The network of a package, computed by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdray.edge._pixels import Floats
from kdray.maps.hiding import Kept
from kdray.maps.scaling import between_corners
from kdray.onnx import LOGITS, MAPS, run_onnx

#: Pixels of one forward pass of changed images: more at once is no faster on one thread, and
#: takes memory (MobileNetV3-Small, 224 px: 2.36 ms an image at 1, 2.39 at 4, 2.62 at 16).
PIXELS = 4 * 224 * 224


class Network:
    """Logits of images, of parts of them, and maps; threads may ask at the same time.

    Args:
        file: The exported network.
        threads: Threads that one forward pass may take.
    """

    def __init__(self, file: Path, threads: int) -> None:
        self._run = run_onnx(file, threads, (LOGITS, MAPS))

    def look(self, images: Floats) -> tuple[Floats, Floats]:
        """Return logits ``[B, C]`` and maps ``[B, D, h, w]`` of images ``[B, c, H, W]``."""
        logits, maps = self._run(images)
        return logits, maps

    def through(self, image: Floats, masks: Floats, batch: int | None = None) -> Floats:
        """Return the logits ``[n, C]`` of an image seen through each mask.

        Args:
            image: ``[c, H, W]``.
            masks: ``[n, h, w]``, enlarged to the image here (aligned corners).
            batch: Masked images in one forward pass; None: as many as are fastest.
        """
        rows, columns = (
            between_corners(*sides) for sides in zip(masks.shape[1:], image.shape[1:], strict=True)
        )
        step = batch or batch_of(image.shape[1:])
        logits = []
        for start in range(0, len(masks), step):
            large = rows @ masks[start : start + step] @ columns.T
            logits.append(self._logits(np.asarray(image * large[:, None], dtype=np.float32)))
        return np.concatenate(logits)

    def behind(self, image: Floats, baseline: Floats, kept: Kept) -> Floats:
        """Return the logits ``[n, C]`` of an image with parts hidden.

        Args:
            image: ``[c, H, W]``.
            baseline: What is seen of hidden places, ``[c, H, W]``.
            kept: Batches of masks, bool ``[b, H, W]``: the places that stay.
        """
        return np.concatenate(
            [self._logits(np.where(some[:, None], image, baseline)) for some in kept]
        )

    def _logits(self, images: Floats) -> Floats:
        return self._run(images, outputs=(LOGITS,))[0]


def batch_of(size: tuple[int, ...]) -> int:
    """Return how many images of a height and width a forward pass should take."""
    return max(1, PIXELS // (size[0] * size[1]))


def by_mean(maps: Floats) -> NDArray[np.float32]:
    """Return the mean over the places of maps ``[B, D, h, w]``, ``[B, D]``."""
    flat = maps.reshape(*maps.shape[:2], -1)
    share = np.full(flat.shape[2], 1 / flat.shape[2], dtype=np.float32)
    return np.asarray(flat @ share)  # a tenth of the time of `mean` over so few
