"""Train, validation and test: given by the source, or divided by group and class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kdray.errors import DataError
from kdray.spec.experiment import Splits

_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def split_name(name: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` for a common name of one, or None."""
    return _NAMES.get(name.strip().lower())


def assign(
    given: Sequence[str | None],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    names: Sequence[str],
    settings: Splits,
) -> list[str]:
    """Return the split of every image.

    Given splits stay, unless the settings say otherwise; names other than train, val and test
    always do. Validation, and a test that the source lacks, are divided off the images without a
    split, or where all have one, off the given train. No group is cut by it.

    Args:
        given: The source's splits ``[N]``.
        labels: Class indices ``[N]``.
        groups: Group indices ``[N]``.
        names: A name ``[N]`` for each image's group, equal inside it; the division depends on the
            names and the seed, not on the order of the images.
        settings: Shares, folds and seed.

    Raises:
        DataError: Nothing to train on or to validate with, only some images have a split, or
            folds beside a given test split.
    """
    if not settings.use_given:
        given = [None if split in ("train", "val", "test") else split for split in given]
    places = _undecided(given, settings)
    order = [names[place] for place in places.tolist()]
    drawn = _drawn(labels[places], groups[places], order, set(given), settings)
    result = [split or "" for split in given]
    for place, split in zip(places.tolist(), drawn, strict=True):
        result[place] = split
    return result


def _undecided(given: Sequence[str | None], settings: Splits) -> NDArray[np.int64]:
    """Return the places of the images to divide: those without a split, or the given train."""
    pool = np.array([split is None for split in given])
    trained = np.array([split == "train" for split in given])
    if pool.any() and trained.any():
        raise DataError(
            "data.source",
            f"{pool.sum()} images have no split, but {trained.sum()} are given as train.",
            "Give all of these a split, or none.",
        )
    if settings.folds and "test" in given:
        raise DataError(
            "data.splits.folds",
            "the source gives a test split already.",
            "Add use_given: false to fold its images too, or drop `folds`.",
        )
    pool |= trained
    if not pool.any():
        raise DataError(
            "data.source", "no image is to train on.", "Give images of the split train."
        )
    return np.flatnonzero(pool)


def _drawn(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    names: Sequence[str],
    given: set[str | None],
    settings: Splits,
) -> list[str]:
    """Return the split of each image to divide."""
    shares = {name: getattr(settings, name) for name in ("val", "test") if name not in given}
    if settings.folds is None:
        shares = {"train": 1 - sum(shares.values()), **shares}
        return _divide(labels, groups, names, shares, settings.seed)
    k, fold = settings.folds.k, f"fold {settings.folds.fold}"
    folds = _divide(labels, groups, names, {f"fold {i}": 1 / k for i in range(k)}, settings.seed)
    rest = np.flatnonzero([one != fold for one in folds])
    val = shares.get("val", 0.0) * k / (k - 1)
    few = [names[place] for place in rest.tolist()]
    inner = _divide(labels[rest], groups[rest], few, {"train": 1 - val, "val": val}, settings.seed)
    result = ["test"] * len(folds)
    for place, split in zip(rest.tolist(), inner, strict=True):
        result[place] = split
    return result


def _divide(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    names: Sequence[str],
    shares: dict[str, float],
    seed: int,
) -> list[str]:
    """Give the groups, large ones first, each to the split that lacks most of its classes."""
    shares = {split: share for split, share in shares.items() if share > 0}
    ids, first, members = np.unique(groups, return_index=True, return_inverse=True)
    sizes = np.zeros((len(ids), int(labels.max()) + 1))
    np.add.at(sizes, (members, labels), 1)
    totals = np.maximum(sizes.sum(axis=0), 1)
    need = np.array(list(shares.values()))[:, None] * totals
    ties = [hashlib.sha256(f"{seed}:{names[place]}".encode()).digest() for place in first.tolist()]
    order = sorted(range(len(ids)), key=lambda group: (-sizes[group].sum(), ties[group]))
    chosen = np.zeros(len(ids), dtype=np.int64)
    for group in order:
        # Divided by the totals so that a rare class weighs as much as a common one.
        lack = (need / totals) @ (sizes[group] / totals)
        chosen[group] = int(np.argmax(lack))
        need[chosen[group]] -= sizes[group]
    splits = list(shares)
    _check(chosen, splits)
    return [splits[chosen[member]] for member in members]


def _check(chosen: NDArray[np.int64], splits: Sequence[str]) -> None:
    for number, split in enumerate(splits):
        if number not in chosen:
            raise DataError(
                "data.splits",
                f"no group of images is left for {split}.",
                "Give more images or groups, or other shares.",
            )
