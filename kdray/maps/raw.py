"""Maps as a method computes them, before they are scaled and drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: (image, place in its classes) -> why that map shows nothing.
Reasons = Mapping[tuple[int, int], str]


@dataclass(frozen=True)
class Raw:
    """Maps as a method computes them, at their own size and range.

    Args:
        maps: float32 ``[B, K, h, w]`` for ``K`` classes of each image; a method whose map knows
            no class repeats it.
        forwards: Images that went through the network for it, over the whole batch.
        estimate: float32 ``[B, K]``: the estimated correlation with the exact map, where the
            method approximates one.
        reasons: Why maps show nothing, where the method knows better than that they are blank.
    """

    maps: NDArray[np.float32]
    forwards: int
    estimate: NDArray[np.float32] | None = None
    reasons: Reasons = field(default_factory=dict)
