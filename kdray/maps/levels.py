"""The range of a map that its picture shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Share of the positive values that lie below the end of the colours, if a few stand far above.
_SHARE = 0.98
#: A few stand far above the rest where that share lies below this.
_LOW = 0.5


def shown_levels(map_: NDArray[Any]) -> NDArray[Any]:
    """Return a map as its picture shows it: in [0, 1], a few outliers cut off.

    Maps of single pixels (SHAP by gradients) have a few values so far above the rest that a
    picture up to the largest one would be empty. The map itself, and what is measured on it, stay
    as they are.

    Args:
        map_: ``[H, W]``, finite, in [0, 1].
    """
    positive = map_[map_ > 0]
    end = float(np.quantile(positive, _SHARE)) if positive.size else 1.0
    levels: NDArray[Any] = np.clip(map_ / end if end < _LOW else map_, 0, 1)
    return levels
