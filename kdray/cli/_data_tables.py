"""Tables of ``kdray data``: counts, deviations, leaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdray.cli._output import console, err, print_table
from kdray.cli._sources import print_deviations


def print_verified(found: Mapping[str, Any]) -> None:
    """Print counts of a source, and where they are not those it should have."""
    classes = sorted({name for counts in found["counts"].values() for name in counts})
    print_counts({"counts": found["counts"], "classes": classes})
    print_deviations(found["deviations"])
    if not found["expected"]:
        console.print("No counts are known for this source.")


def print_checked(content: Mapping[str, Any], problems: list[str]) -> None:
    """Print what was found in reading all images."""
    print_counts(content)
    print_deviations(content["deviations"])
    _print_leaks(content["duplicates"])
    for item in content["bad"]:
        console.print(f"unreadable: {item['id']}: {item['problem']}", markup=False)
    err("\n".join(problems))


def print_counts(content: Mapping[str, Any]) -> None:
    """Print images by split and class."""
    counts = content["counts"]
    rows = [
        (split, *(found.get(name, 0) for name in content["classes"]), sum(found.values()))
        for split, found in counts.items()
    ]
    print_table("Images", ("split", *content["classes"], "all"), rows)


def _print_leaks(duplicates: Mapping[str, Any]) -> None:
    kinds = [kind for kind in ("exact", "near", "group", "any") if kind in duplicates["leaks"][0]]
    rows = [
        (
            leak["to"],
            leak["from"],
            leak["of"],
            *(leak[kind] for kind in kinds),
            ", ".join(f"{name} {count}" for name, count in leak["per_class"].items()),
        )
        for leak in duplicates["leaks"]
    ]
    columns = ("images of", "with a companion in", "of", *kinds, "by class")
    print_table("Leaks between splits", columns, rows)
    told = [f"{count} {kind}" for kind, count in duplicates["repeated"].items()]
    if told:
        console.print(f"Repeated images: {', '.join(told)}.", highlight=False)
    if duplicates["conflicts"] and duplicates["conflicts"]["groups"]:
        mixed = duplicates["conflicts"]
        console.print(
            f"Equal or nearly equal images of different classes: {mixed['groups']} groups."
        )
        for example in mixed["examples"]:
            console.print(f"  {', '.join(example)}", markup=False, highlight=False)
