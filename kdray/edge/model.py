"""A package to answers without PyTorch: ONNX Runtime computes the network, NumPy the maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdray.edge._files import read_serving
from kdray.edge._pixels import Floats, Standard
from kdray.engine import Seen
from kdray.images import Pixels, fit
from kdray.onnx import LOGITS, MAPS, run_onnx
from kdray.registry.package import read_package


class EdgeModel:
    """A model that answers and explains; any number of threads may use it at once.

    Args:
        folder: A package with the files of serving.
        threads: Threads that one forward pass may take.

    Raises:
        RegistryError: The package is missing or damaged, or has no files of serving.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.package = read_package(folder)
        self._serving, self._arrays = read_serving(folder)
        self._run = run_onnx(folder / self._serving.onnx.file, threads, (LOGITS, MAPS))
        self._standard = Standard(self.package.mean, self.package.std)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the ``C`` classes, in the order of the logits."""
        return self.package.classes

    @property
    def runtime(self) -> str:
        """What computes it."""
        return "onnxruntime"

    @property
    def bytes(self) -> int:
        """About what it takes in memory."""
        return 2 * self._serving.onnx.bytes + self._serving.arrays.bytes

    def fit(self, pixels: Pixels) -> Pixels:
        """Return pixels of any size as the model sees them, ``[H, W, c]``; as for training."""
        return fit(pixels, self.package.image_size, self.package.channels)

    def look(self, images: Pixels) -> Seen:
        """Return what the network says of images ``[B, H, W, c]``."""
        logits, maps = self._looked(images)
        return Seen(logits, maps.mean(axis=(2, 3)))

    def _looked(self, images: Pixels) -> tuple[Floats, Floats]:
        """Return logits ``[B, C]`` and maps ``[B, D, h, w]``."""
        logits, maps = self._run(self._standard(images))
        return np.asarray(logits), np.asarray(maps)
