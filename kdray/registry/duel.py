"""Two versions on the same images: which is better, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Fewer shared images tell nothing: with 30 of them an interval is easily 0.3 wide.
LEAST = 30


@dataclass(frozen=True)
class Duel:
    """Macro F1 of one version minus that of another, on the images of both.

    Args:
        mean: The difference on all of them.
        low: Lower end of its interval.
        high: Upper end.
        images: How many there are.
    """

    mean: float
    low: float
    high: float
    images: int


def duel(
    ours: Mapping[str, NDArray[Any]], theirs: Mapping[str, NDArray[Any]], confidence: float
) -> Duel | str:
    """Return how much better one version is than another, or why nobody can tell.

    Only images that validated both are looked at, so neither was trained on them. The interval is
    that of the paired bootstrap over images (``kdray.measure.paired_bootstrap``).

    Args:
        ours: ``logits`` ``[n, C]``, ``labels`` ``[n]`` and ``images`` ``[n, 32]``, the SHA-256 of
            the pixels of each.
        theirs: The same of the other version.
        confidence: Level of the interval.
    """
    from kdray.measure import paired_bootstrap  # loads torch

    first, second = shared(ours["images"], theirs["images"])
    if len(first) < LEAST:
        return f"only {len(first)} validation images are in both versions, {LEAST} are needed"
    labels = ours["labels"][first]
    if (labels != theirs["labels"][second]).any():
        return "images that are in both versions have different labels"
    logits = (ours["logits"][first], theirs["logits"][second])
    found = paired_bootstrap(*logits, labels, "macro_f1", confidence)
    if found["low"] is None:
        return "the macro F1 of the shared images is not defined"
    return Duel(found["mean"], found["low"], found["high"], len(first))


def shared(
    ours: NDArray[np.uint8], theirs: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the images of both are, first here and first there, an image once.

    Args:
        ours: Hashes ``[n, 32]``.
        theirs: Hashes ``[m, 32]``.
    """
    here, there = ({row.tobytes(): i for i, row in _from_the_end(rows)} for rows in (ours, theirs))
    pairs = sorted((place, there[key]) for key, place in here.items() if key in there)
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _from_the_end(rows: NDArray[np.uint8]) -> Any:
    """Return the rows with their places, last first, so that the first of equals is kept."""
    return reversed(list(enumerate(rows)))
