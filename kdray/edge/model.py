"""A package to answers without PyTorch: ONNX Runtime computes the network, NumPy the maps."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray import parts
from kdray.edge._methods import METHODS, REMEDY, Asked, Model, answerable
from kdray.edge._network import Network, by_mean
from kdray.edge._pixels import Standard
from kdray.edge.head import Head
from kdray.engine import Seen
from kdray.errors import ModelError
from kdray.images import Pixels, fit
from kdray.maps import Explanation, shown
from kdray.registry.package import Package, read_package
from kdray.registry.serving import Serving, read_serving
from kdray.spec.strict import Part

#: About what ONNX Runtime takes besides the weights: activations, and what it keeps for the next.
_BESIDE = 24 * 2**20


class EdgeModel:
    """A model that answers and explains; any number of threads may use it at once.

    It explains by methods that need no gradients through the network, and by those of Grad-CAM's
    kind where what follows its last maps is a chain of plain layers.

    Args:
        folder: A package with the files of serving.
        threads: Threads that one forward pass may take.

    Raises:
        RegistryError: The package is missing or damaged, or has no files of serving.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.package: Package = read_package(folder)
        self.serving: Serving = read_serving(folder)
        arrays = self.serving.read_arrays(self.package.weights.file)
        facts = self.serving.head
        self._model = Model(
            Network(folder / self.serving.onnx.file, threads),
            None if facts is None else Head.read(facts, arrays),
            (self.serving.tap, *self.serving.same),
            self.package.classes,
        )
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
        return 2 * self.serving.onnx.bytes + self.serving.arrays.bytes + _BESIDE

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the parts of ``kdray/explain`` that it can be explained by."""
        return answerable(has_head=self._model.head is not None)

    def fit(self, pixels: Pixels) -> Pixels:
        """Return pixels of any size as the model sees them, ``[H, W, c]``; as for training."""
        return fit(pixels, self.package.image_size, self.package.channels)

    def look(self, images: Pixels) -> Seen:
        """Return what the network says of images ``[B, H, W, c]``."""
        logits, maps = self._model.network.look(self._standard(images))
        return Seen(logits, by_mean(maps))

    def explain(
        self,
        images: Pixels,
        method: str,
        params: Mapping[str, Any] | None = None,
        classes: NDArray[np.int64] | None = None,
    ) -> Explanation:
        """Return what the network looked at; maps that show nothing are said, not drawn.

        Args:
            images: ``[B, H, W, c]``.
            method: Name of an explanation.
            params: Settings of the explanation; None: its defaults.
            classes: Indices of the classes to explain, ``[B]`` or ``[B, K]``; None: the predicted
                ones.

        Raises:
            JobError: There is no such explanation, or it refuses a setting.
            ModelError: It needs PyTorch, for this model or for any.
            ExplainError: A class is none of the model's.
        """
        part, settings = _settings(method, json.dumps(dict(params or {})))
        if part not in METHODS:
            raise ModelError(method, "this explanation needs PyTorch.", REMEDY)
        started = time.perf_counter()
        asked = Asked(self._model, self._standard(images), classes)
        wanted = asked.classes
        with np.errstate(all="ignore"):  # what is not finite is said of each map
            raw = METHODS[part](asked, settings)
        maps, reasons = shown(raw, asked.size)
        ms = 1000 * (time.perf_counter() - started)
        return Explanation(method, wanted, maps, reasons, ms, raw.forwards, raw.estimate)


@lru_cache(maxsize=256)
def _settings(method: str, params: str) -> tuple[str, Any]:
    """Return the part of a method and its settings from JSON, without importing the part."""
    whole = parts.canonical("explain", Part(name=method, params=json.loads(params)))
    given = parts.settings("explain", whole)
    return whole.name, parts.header("explain", whole.name).Params.model_validate(given)
