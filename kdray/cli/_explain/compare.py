"""How alike the maps of two models are, over all images of a command."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from kdray import measure
from kdray.cli._explain.maps import Map, numbers
from kdray.infer import Floats

_BLANK = "a map that shows nothing has no agreement."
_ALONE = "the chance level needs maps of other images: explain several."


@dataclass(frozen=True)
class _Pair:
    found: dict[str, Any]
    student: Floats
    teacher: Floats


class Comparison:
    """Keeps pairs of maps, on the grid that they are compared on, until all are there."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], list[_Pair]] = defaultdict(list)

    def add(
        self, found: dict[str, Any], asked: tuple[str, str], student: Map, teacher: Map
    ) -> None:
        """Keep a pair of maps.

        Args:
            found: What is known of the map; the agreement is put there.
            asked: Method and class as asked for: the maps that chance compares it with.
            student: The map of the explained model.
            teacher: The map of the other one.
        """
        found["agreement"] = {"reason": _BLANK}
        ours, theirs = student.values, teacher.values
        if ours is not None and theirs is not None:
            side = min(measure.GRID, *ours.shape, *theirs.shape)
            small = [measure.on_grid(values[None], side)[0] for values in (ours, theirs)]
            self._pairs[asked].append(_Pair(found, *small))

    def finish(self) -> None:
        """Put the agreement of each pair into what is known of its map."""
        for pairs in self._pairs.values():
            ours = np.stack([pair.student for pair in pairs])
            theirs = np.stack([pair.teacher for pair in pairs])
            values = measure.map_agreement(theirs, ours)
            for place, pair in enumerate(pairs):
                agreement = numbers(values, place)
                lonely = agreement["chance_pearson"] is None
                pair.found["agreement"] = {**agreement, "reason": _ALONE if lonely else None}
