"""How alike maps are, blank ones counted and left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
#: A map in [0, 1] whose values differ by less is blank.
_BLANK = 1e-6


@dataclass(frozen=True)
class Likeness:
    """Pearson correlations of pairs of maps.

    Args:
        pearson: float64 ``[n]``; NaN where a map of the pair is blank.
        blank_here: Pairs whose first map alone is blank.
        blank_there: Pairs whose second map alone is.
        blank_both: Pairs of two blank maps.
    """

    pearson: NDArray[np.float64]
    blank_here: int = 0
    blank_there: int = 0
    blank_both: int = 0

    @property
    def compared(self) -> NDArray[np.float64]:
        """The correlations that there are."""
        return self.pearson[np.isfinite(self.pearson)]

    @property
    def said(self) -> str:
        """What was compared and what was left out, in words."""
        counts = {
            "blank in both": self.blank_both,
            "blank in kdray alone": self.blank_here,
            "blank there alone": self.blank_there,
        }
        left_out = ", ".join(f"{count} {how}" for how, count in counts.items() if count)
        return f"{len(self.compared)} maps" + (f"; left out: {left_out}" if left_out else "")


def likeness(pairs: Iterable[tuple[Map, Map]]) -> Likeness:
    """Return how alike the maps ``[H, W]`` of each pair are."""
    found: list[float] = []
    blank = {(False, True): 0, (True, False): 0, (True, True): 0, (False, False): 0}
    for here, there in pairs:
        which = (is_blank(here), is_blank(there))
        blank[which] += 1
        found.append(float("nan") if any(which) else pearson(here, there))
    return Likeness(np.array(found), blank[True, False], blank[False, True], blank[True, True])


def is_blank(map_: Map) -> bool:
    """Return whether a map ``[H, W]`` is constant, or holds NaN."""
    return not bool(np.ptp(map_) > _BLANK)


def pearson(first: Map, second: Map) -> float:
    """Return the correlation of the values of two maps ``[H, W]``, neither of them constant."""
    return float(np.corrcoef(first.ravel().astype(float), second.ravel().astype(float))[0, 1])
