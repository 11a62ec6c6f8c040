"""One map of one image: what it shows, as numbers and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kdray.explain import Explanation
from kdray.infer import Floats


@dataclass(frozen=True)
class Map:
    """What one model looked at in one image for one class.

    Args:
        values: float32 ``[H, W]`` in [0, 1]; None where it shows nothing.
        reason: Why it shows nothing; empty where it does.
        estimate: The estimated correlation with the exact map; None where the map is exact.
        ms: Milliseconds for all classes of the image.
        forwards: Images that went through the network for all classes of the image.
    """

    values: Floats | None
    reason: str = ""
    estimate: float | None = None
    ms: float | None = None
    forwards: float | None = None

    def facts(self) -> dict[str, Any]:
        """Return it as JSON has it, without its values."""
        return {
            "degenerate": self.values is None,
            "reason": self.reason or None,
            "estimate": self.estimate,
            "ms": self.ms,
            "forwards": self.forwards,
            "peak": None if self.values is None else _peak(self.values),
        }


def map_of(explanation: Explanation, image: int, place: int) -> Map:
    """Return the map of the class at a place of ``explanation.classes`` of an image."""
    estimates, images = explanation.estimate, len(explanation.maps)
    reason = explanation.degenerate.get((image, place), "")
    return Map(
        None if reason else explanation.maps[image, place],
        reason,
        None if estimates is None else number(estimates[image, place]),
        round(explanation.ms / images, 3),
        round(explanation.forwards / images, 3),
    )


def numbers(values: Mapping[str, Any], image: int) -> dict[str, float | None]:
    """Return the scores of one image out of those of all ``[N]``."""
    return {name: number(found[image]) for name, found in values.items()}


def number(value: Any) -> float | None:
    """Return a number as JSON has it: None where it is not defined."""
    return float(value) if np.isfinite(value) else None


def _peak(values: Floats) -> dict[str, float]:
    """Return where the map is highest, as shares of width and height from the top left."""
    row, column = np.unravel_index(values.argmax(), values.shape)
    height, width = values.shape
    return {"x": float((column + 0.5) / width), "y": float((row + 0.5) / height)}
