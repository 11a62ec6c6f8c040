"""The rows of the tables, from the scores of single models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kdray.run.explained.intervals import measured
from kdray.run.explained.models import Row

Scored = Mapping[str, Any]
#: How tables call the maps that know nothing of the model.
RANDOM = "random"
#: What small noise does to maps, image by image.
STEADY = ("stability", "max_sensitivity")


def score_rows(
    row: Row, runs: Sequence[Scored], methods: Sequence[str], confidence: float
) -> list[dict[str, Any]]:
    """Return one row a method that can do something with the model, and the random baseline.

    Args:
        row: The model.
        runs: What was scored of each of its runs.
        methods: Titles of the methods, in the order in which they were scored.
        confidence: Level of the intervals.
    """
    facts = {"label": row.label, "role": row.role}
    found = []
    for place, method in enumerate(methods):
        made = [run["methods"][place] for run in runs if "failed" not in run["methods"][place]]
        if made:
            num_images = runs[0]["images"] * len(made)
            scores = _scores([one["values"] for one in made], confidence)
            costs = _costs(made, confidence)
            own = {"runs": len(made), "measures": scores, "maps": num_images, **costs}
            found.append({"method": method, **facts, **own})
    return [*found, {"method": RANDOM, **facts, **_baseline(runs, confidence)}]


def notes(row: Row, runs: Sequence[Scored], methods: Sequence[str]) -> Iterator[str]:
    """Yield what a reader should know of a model's maps: what failed, and what shows nothing."""
    num_images = sum(run["images"] for run in runs)
    for place, method in enumerate(methods):
        made = [run["methods"][place] for run in runs]
        failed = Counter(one["failed"] for one in made if "failed" in one)
        for reason, count in failed.items():
            some = "" if count == len(runs) else f", {count} of {len(runs)} runs"
            yield f"{method} of {row.label}{some}: {reason}"
        blank: Counter[str] = Counter()
        for one in made:
            blank.update(one.get("degenerate") or {})
        for reason, count in blank.items():
            yield f"{method} of {row.label}, {count} of {num_images} maps: {reason}"


def check_rows(
    row: Row, checked: Scored, methods: Sequence[str], confidence: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return one row a method whose maps of a model were checked, and why others were not."""
    facts = {"label": row.label, "role": row.role}
    found, doubts = [], []
    for method, one in zip(methods, checked["methods"], strict=True):
        if "failed" in one:
            doubts.append(f"{method} of {row.label} could not be checked: {one['failed']}")
            continue
        own = {name: one[name] for name in ("images", "stages", "chance_ssim", "verdict")}
        over = {name: measured([_floats(one[name])], confidence) for name in STEADY}
        found.append({"method": method, **facts, **own, **over})
    return found, doubts


def scored_facts(runs: Sequence[Scored]) -> dict[str, Any]:
    """Return what all scored models have in common."""
    names = ("images", "split", "classes", "grid", "masks")
    common = {name: runs[0][name] for name in names}
    devices = sorted({run["device"] for run in runs})
    threads = sorted({run["threads"] for run in runs})
    return {**common, "device": ", ".join(devices), "threads": threads[-1]}


def _scores(
    values: Sequence[Mapping[str, Sequence[float | None]]], confidence: float
) -> dict[str, Any]:
    """Return score -> its mean and intervals; scores that no image has are left out."""
    found = {
        name: measured([_floats(one[name]) for one in values], confidence) for name in values[0]
    }
    return {name: one for name, one in found.items() if one is not None}


def _costs(made: Sequence[Mapping[str, Any]], confidence: float) -> dict[str, Any]:
    # Each beside the plain pass before it, and the median: others use this machine too.
    ratios = [np.divide(one["met_ms"], one["plain_ms"]) for one in made]
    known = [_floats(one["estimate"]) for one in made if one["estimate"] is not None]
    return {
        "degenerate": sum(sum(one["degenerate"].values()) for one in made),
        "forwards": float(np.mean([one["forwards"] for one in made])),
        "met_ms": measured([_floats(one["met_ms"]) for one in made], confidence),
        "met_forwards": float(np.median(np.concatenate(ratios))),
        "estimate": measured(known, confidence) if known else None,
    }


def _baseline(runs: Sequence[Scored], confidence: float) -> dict[str, Any]:
    return {
        "runs": len(runs),
        "measures": _scores([run["random"]["values"] for run in runs], confidence),
        "maps": sum(run["images"] for run in runs),
        "degenerate": 0,
        "forwards": 0.0,
        "met_ms": None,
        "met_forwards": None,
        "estimate": None,
    }


def _floats(values: Sequence[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]
