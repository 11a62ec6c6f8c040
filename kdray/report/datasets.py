"""Tables of a job's data: images of each split and class, copies across splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdray.report import cells
from kdray.report.cells import Column, Table
from kdray.report.facts import Results

_KINDS = {
    "exact": "Equal pixels",
    "near": "Nearly equal, or equal",
    "group": "Of the same group (patient, lesion, slide)",
    "any": "By any of these",
}


def dataset_table(results: Results) -> Table:
    """Return one row a split: images of each class."""
    counts: Mapping[str, Mapping[str, int]] = results["dataset"].get("counts") or {}
    classes = results["dataset"]["classes"]
    columns = (
        Column("split", "Split"),
        *(Column(f"class_{name}", str(name), "Images of this class", True) for name in classes),
        Column("total", "All", "Images of the split", True),
    )
    rows = tuple(
        (
            cells.word(split),
            *(cells.count(found.get(name, 0)) for name in classes),
            cells.count(sum(found.values())),
        )
        for split, found in counts.items()
    )
    return Table("dataset", "Images", columns, rows, _notes(results))


def leak_table(results: Results) -> Table:
    """Return one row a pair of splits that share images: how many, by which likeness."""
    found = (results["dataset"].get("duplicates") or {}).get("leaks") or ()
    shared = [leak for leak in found if leak.get("any")]
    kinds = [kind for kind in _KINDS if any(kind in leak for leak in shared)]
    columns = (
        Column("to", "Split"),
        Column("from", "Shares with"),
        Column("of", "Images", "Images of the split", True),
        *(Column(kind, kind.capitalize(), _KINDS[kind], True) for kind in kinds),
        Column("share", "Share", "Any, of the images of the split", True),
        Column("per_class", "By class", "Any, by class"),
    )
    rows = tuple(
        (
            cells.word(leak["to"]),
            cells.word(leak["from"]),
            cells.count(leak["of"]),
            *(cells.count(leak.get(kind)) for kind in kinds),
            cells.percent(leak["any"], leak["of"]),
            cells.settings(leak.get("per_class") or {}),
        )
        for leak in shared
    )
    note = (
        "Images of the split with a companion in the other one. Exact: equal pixels; near: "
        f"{_near(results)}; group: of the same patient, lesion or slide, where known."
    )
    return Table("leaks", "Images that splits share", columns, rows, (note,))


def _near(results: Results) -> str:
    threshold = cells.number(results["dataset"]["duplicates"].get("threshold"))
    like = f" of {threshold:g} or more" if threshold is not None else ""
    return f"a correlation{like} between small grey versions, or equal"


def _notes(results: Results) -> tuple[str, ...]:
    dataset = results["dataset"]
    said = [
        f"Images are {dataset['image_size']}x{dataset['image_size']} px with "
        f"{dataset['channels']} channel{'s' if dataset['channels'] != 1 else ''}.",
        _bad(len(dataset.get("bad") or ())),
        _copies(dataset.get("duplicates") or {}),
    ]
    return tuple(sentence for sentence in said if sentence)


def _bad(num: int) -> str:
    if num == 0:
        return "All images could be read."
    return f"{num} image{'s' if num != 1 else ''} could not be read and took no part."


def _copies(duplicates: Mapping[str, Any]) -> str:
    if duplicates.get("check") == "none":
        return "Nobody looked for copies across the splits (data.duplicates.check is none)."
    mixed = (duplicates.get("conflicts") or {}).get("groups")
    if mixed:
        return f"{mixed} groups of equal or nearly equal images hold several classes."
    return ""
