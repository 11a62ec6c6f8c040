"""What answers for a package: the same whether PyTorch or ONNX Runtime computes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kdray.errors import ExplainError
from kdray.images import Pixels
from kdray.maps import Explanation

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """What a network says of images.

    Args:
        logits: ``[B, C]``.
        features: ``[B, F]``: the mean over the places of its last maps, by which images that are
            unlike the training images are known.
    """

    logits: Floats
    features: Floats


def to_explain(
    classes: NDArray[np.int64], images: int, names: tuple[str, ...]
) -> NDArray[np.int64]:
    """Return the classes that were asked for as int64 ``[B, K]``.

    Args:
        classes: ``[B]`` or ``[B, K]``.
        images: How many there are, ``B``.
        names: Of the classes that the model knows.

    Raises:
        ExplainError: A class is none of the model's.
    """
    wanted = np.asarray(classes, dtype=np.int64).reshape(images, -1)
    if wanted.size and not 0 <= wanted.min() <= wanted.max() < len(names):
        problem = f"{wanted.tolist()} are not all classes."
        raise ExplainError("classes", problem, f"They count 0..{len(names) - 1}.")
    return wanted


class Engine(Protocol):
    """A model that answers and explains; any number of threads may use it at once."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the ``C`` classes, in the order of the logits."""

    @property
    def runtime(self) -> str:
        """What computes it: ``onnxruntime``, or ``torch`` and its device."""

    @property
    def bytes(self) -> int:
        """About what it takes in memory."""

    def fit(self, pixels: Pixels) -> Pixels:
        """Return pixels of any size as the model sees them, ``[H, W, c]``; as for training."""

    def look(self, images: Pixels) -> Seen:
        """Return what the network says of images ``[B, H, W, c]``."""

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
            ModelError: This model, or what computes it, cannot be explained by this method.
        """
