"""What a network looked at, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kdray.errors import ExplainError

REMEDY = "Explain with another method, or give the setting `tap` another layer."


@dataclass(frozen=True)
class Explanation:
    """What a network looked at, for some classes of some images.

    Args:
        method: Name of the part.
        classes: int64 ``[B, K]``: indices of the explained classes of each image.
        maps: float32 ``[B, K, H, W]`` in [0, 1] at the images' size; NaN where a map is
            degenerate, so that it is never drawn.
        degenerate: (image, place in ``classes``) -> why that map shows nothing.
        ms: Milliseconds for all of them, forward passes included.
        forwards: Images that went through the network.
        estimate: float32 ``[B, K]``: the estimated correlation with the exact map; None where the
            maps are exact.
    """

    method: str
    classes: NDArray[np.int64]
    maps: NDArray[np.float32]
    degenerate: Mapping[tuple[int, int], str]
    ms: float
    forwards: int
    estimate: NDArray[np.float32] | None = None

    def checked(self) -> Explanation:
        """Return this explanation if all its maps show something.

        Raises:
            ExplainError: A map is constant or not finite; says which image and class.
        """
        for (image, place), reason in self.degenerate.items():
            where = f"{self.method}, image {image}, class {self.classes[image, place]}"
            raise ExplainError(where, reason, REMEDY)
        return self
