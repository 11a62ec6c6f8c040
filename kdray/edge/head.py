"""What follows the last maps of a network, as plain arrays: logits and their gradients there.

Networks that end in a pool and a few small layers need no PyTorch for the maps of Grad-CAM and
its kin: ONNX Runtime gives the maps, and this gives the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.edge._layers import Described, Floats, Layer, Mean, layer_of
from kdray.errors import RegistryError


@dataclass(frozen=True)
class Head:
    """The layers from the maps at the tap ``cam`` to the logits, one after the other.

    ``kdray.export`` finds them, and keeps them only where logits and gradients are PyTorch's.

    Args:
        layers: In order; the first takes ``[B, D, h, w]``, the last gives ``[B, C]``.
    """

    layers: tuple[Layer, ...]

    @classmethod
    def read(cls, facts: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]) -> Head:
        """Return the head that a package describes.

        Args:
            facts: ``head`` of ``serving.json``: of each layer its ``kind``, ``settings`` and
                the names of its ``arrays``.
            arrays: Name -> array, such as ``Package.arrays()``.

        Raises:
            RegistryError: The description or an array is none of a head.
        """
        try:
            layers = tuple(layer_of(Described(**layer), arrays) for layer in facts)
        except (KeyError, TypeError, ValueError) as error:
            raise RegistryError("head", f"is damaged: {type(error).__name__}: {error}.") from error
        return cls(layers)

    @property
    def by_mean(self) -> bool:
        """Whether the network reads nothing of the maps but their mean over the places."""
        return bool(self.layers) and isinstance(self.layers[0], Mean)

    def logits(self, maps: Floats) -> Floats:
        """Return the logits ``[B, C]`` of maps ``[B, D, h, w]``."""
        x = maps
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def gradients(self, maps: Floats, classes: NDArray[np.int64]) -> Floats:
        """Return the gradients of the logits of ``classes[:, 0]``, ``classes[:, 1]``, ....

        Args:
            maps: ``[B, D, h, w]``.
            classes: ``[B, K]``.

        Returns:
            ``[K, B, D, h, w]``; ``[K, B, D, 1, 1]`` where the network takes the mean over the
            places, so that all of them have the same gradient.
        """
        inputs = [maps]
        for layer in self.layers:
            inputs.append(layer.forward(inputs[-1]))
        logits = inputs.pop()
        gradient = np.asarray(
            classes.T[:, :, None] == np.arange(logits.shape[1]), dtype=np.float32
        )
        for layer, x in zip(reversed(self.layers), reversed(inputs), strict=True):
            gradient = layer.backward(x, gradient)
        return gradient
