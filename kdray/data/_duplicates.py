"""Equal and nearly equal images: who belongs together, and what leaks between splits."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.images import Pixels

#: Side of the grey images that are compared, pixels.
THUMBNAIL = 64
_EXAMPLES = 20

#: A component for each image ``[N]``: the place of its first member, equal for all members.
Components = NDArray[np.int64]


def equal(keys: Sequence[Hashable]) -> Components:
    """Return the components of images with equal keys."""
    first: dict[Hashable, int] = {}
    return np.array(
        [first.setdefault(key, place) for place, key in enumerate(keys)], dtype=np.int64
    )


def near(
    thumbnails: Pixels, threshold: float, *, flips: bool = False, block: int = 1024
) -> Components:
    """Return the components of images that correlate with each other, directly or by others.

    Every pair is compared, a block of images with a block at a time; an image without contrast
    correlates with none.

    Args:
        thumbnails: Grey images uint8 ``[N, h, w]``.
        threshold: Normalised correlation from which two images are near duplicates.
        flips: Whether to compare with the other image's mirrored and turned copies too: the eight
            symmetries of a square.
        block: Images compared at once; memory is ``2 * block * (h * w + block)`` floats.
    """
    root = np.arange(len(thumbnails), dtype=np.int64)
    orders = _symmetries(thumbnails.shape[1]) if flips else [slice(None)]
    for start in range(0, len(thumbnails), block):
        left = _unit(thumbnails[start : start + block])
        for other in range(start, len(thumbnails), block):
            right = left if other == start else _unit(thumbnails[other : other + block])
            for order in orders:
                one, two = np.nonzero(left @ right[:, order].T >= threshold)
                root = _join(root, one + start, two + other)
    return root


def merge(*partitions: Components) -> Components:
    """Return the components that join whatever one of the partitions joins."""
    places = np.arange(len(partitions[0]), dtype=np.int64)
    root = places
    for partition in partitions:
        root = _join(root, places, partition)
    return root


def leaking(components: Components, source: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return, for each image, whether its component has a member in ``source`` ``[N]``."""
    return np.isin(components, components[source])


def leaks(
    kinds: Mapping[str, Components],
    splits: Sequence[str],
    order: Sequence[str],
    labels: Sequence[str],
) -> list[dict[str, Any]]:
    """Return what each split shares with each later one.

    Args:
        kinds: Name of a partition -> its components; ``any`` is the one counted by class.
        splits: The split of each image ``[N]``.
        order: The splits, first to last.
        labels: The class name of each image ``[N]``.

    Returns:
        For each pair of splits: ``from``, ``to``, ``of`` (images of ``to``), how many of these
        have a companion in ``from`` by each kind, and ``per_class`` (by ``any``).
    """
    split_of = np.array(splits)
    label_of = np.array(labels)
    table: list[dict[str, Any]] = []
    for one, two in combinations(order, 2):
        here = split_of == two
        hits = {kind: here & leaking(parts, split_of == one) for kind, parts in kinds.items()}
        names, counts = np.unique(label_of[hits["any"]], return_counts=True)
        table.append(
            {
                "from": one,
                "to": two,
                "of": int(here.sum()),
                **{kind: int(hit.sum()) for kind, hit in hits.items()},
                "per_class": dict(zip(names.tolist(), counts.tolist(), strict=True)),
            }
        )
    return table


def conflicts(components: Components, labels: Sequence[str], ids: Sequence[str]) -> dict[str, Any]:
    """Return how many components hold several classes, and the images of the first of them."""
    members: dict[int, list[int]] = {}
    for place, component in enumerate(components.tolist()):
        members.setdefault(component, []).append(place)
    mixed = [places for places in members.values() if len({labels[place] for place in places}) > 1]
    examples = [[ids[place] for place in places[:_EXAMPLES]] for places in mixed[:_EXAMPLES]]
    return {"groups": len(mixed), "examples": examples}


def repeated(components: Components) -> int:
    """Return how many images could be dropped without losing a component."""
    return len(components) - len(np.unique(components))


def _symmetries(side: int) -> list[Any]:
    """Return the order of the pixels of a square under each of its 8 symmetries, ``[h * w]``."""
    places = np.arange(side * side).reshape(side, side)
    turned = [np.rot90(places, quarter) for quarter in range(4)]
    return [one.ravel() for place in turned for one in (place, place.T)]


def _unit(thumbnails: Pixels) -> NDArray[np.float32]:
    """Return the images as rows of mean 0 and length 1 (or 0), float32 ``[n, h * w]``."""
    rows = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(length < 1e-3, np.float32(np.inf), length)
    return rows


def _join(root: Components, one: Components, two: Components) -> Components:
    """Return ``root`` after joining the components of ``one[k]`` and ``two[k]``, for all k."""
    root = root.copy()
    while True:
        low, high = np.minimum(root[one], root[two]), np.maximum(root[one], root[two])
        apart = low != high
        if not apart.any():
            return root
        one, two = one[apart], two[apart]
        np.minimum.at(root, high[apart], low[apart])
        while not np.array_equal(root, root[root]):
            root = root[root]
