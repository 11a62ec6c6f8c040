"""Public data sets: finding their folders, and what is expected of them against what is there.

A part for one says in literal constants, all optional: ``CLASSES``; ``COUNTS`` (split -> class ->
images, split ``all`` over all splits, class ``*`` over all classes); ``FROM_MEMORY`` (what of the
counts nobody has checked); ``COPIES`` (counts that well-known copies have instead); ``GET`` (where
it is); ``KAGGLE`` (its name there); ``LICENCE``; ``NOTES``; ``KEEP_SPLITS`` (why its own split is
not to be replaced); and may have ``expected(params)``, where the counts depend on settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from kdray.data._rows import Row
from kdray.data._splits import split_name
from kdray.errors import DataError

Counts = Mapping[str, Mapping[str, int]]

#: How deep under the given folder a data set may lie: archives unpack into folders of their own.
_DEPTH = 3


def locate(path: str, holds: Callable[[Path], bool], layout: str, get: str) -> Path:
    """Return the folder that ``holds`` a data set: the given one, or one a little below.

    Args:
        path: The folder that the user names.
        holds: Says whether a folder is it.
        layout: What it should hold, for the error.
        get: Where the data set is to be had, for the error.

    Raises:
        DataError: There is no such folder, with where to get the data.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(str(root), "there is no such folder.", get)
    level = [root]
    for _ in range(_DEPTH):
        for folder in level:
            if holds(folder):
                return folder
        level = [one for folder in level for one in sorted(folder.iterdir()) if one.is_dir()]
    raise DataError(str(root), f"does not hold {layout}.", get)


def holder(*names: str) -> Callable[[Path], bool]:
    """Return a function that says whether a folder holds all of these names."""
    return lambda folder: all((folder / name).exists() for name in names)


def divided_holder(label: str) -> Callable[[Path], bool]:
    """Return a function that says whether a folder's train split has this class folder."""
    return lambda folder: any(
        split_name(top.name) == "train" and (top / label).is_dir() for top in folder.iterdir()
    )


def expected(source: ModuleType, params: Any) -> Counts:
    """Return the counts that a source should have; empty where none are known."""
    if hasattr(source, "expected"):
        found: Counts = source.expected(params)
        return found
    return getattr(source, "COUNTS", {})


def count(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Return split -> class -> images; images without a split count as ``undivided``."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row.split or "undivided", Counter())[row.label] += 1
    return {split: dict(sorted(found.items())) for split, found in counts.items()}


def differences(source: ModuleType, params: Any, found: Counts) -> list[dict[str, Any]]:
    """Return where a source's counts differ from all that are known: see ``deviations``."""
    wanted = expected(source, params)
    for copy in getattr(source, "COPIES", ()):
        there = {split: {**counts, **copy.get(split, {})} for split, counts in wanted.items()}
        if not deviations(there, found):
            return []
    return deviations(wanted, found)


def deviations(wanted: Counts, found: Counts) -> list[dict[str, Any]]:
    """Return where the counts differ: ``split``, ``class``, ``expected``, ``found``."""
    return [
        {"split": split, "class": label, "expected": number, "found": there}
        for split, classes in wanted.items()
        for label, number in classes.items()
        if (there := _there(found, split, label)) != number
    ]


def _there(found: Counts, split: str, label: str) -> int:
    splits = found.values() if split == "all" else [found.get(split, {})]
    return sum(
        number for counts in splits for name, number in counts.items() if label in ("*", name)
    )
