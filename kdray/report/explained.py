"""What the results say of explanations: their rows, their baseline, and what each score is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdray import measure
from kdray.report.cells import number
from kdray.report.facts import Results

Row = Mapping[str, Any]

#: How the answer moves as what a map marks is taken away or shown alone.
FAITHFULNESS = ("deletion_auc", "insertion_auc", "average_drop", "increase")
#: What papers may mean by "fidelity".
FIDELITY = (
    *("retention", "label_agreement", "prediction_change", "removal_correlation"),
    "input_similarity",
)
#: Against the outlines of lesions.
LOCALISATION = ("pointing_hit", "energy_inside", "iou_best", "iou_half")
#: Of the maps of teacher and student.
ALIKE = ("pearson", "ssim", "iou20")
#: Of the maps of an image and of noisy copies.
STABILITY = ("stability", "max_sensitivity")
#: The method of the rows of random maps: what says nothing scores this much.
RANDOM = "random"


def explanations(results: Results) -> Mapping[str, Any]:
    """Return what the results hold of explanations; empty where there is nothing."""
    return results.get("explanations") or {}


def scores(results: Results) -> list[Row]:
    """Return a row a model and method, the models together and their random maps last."""
    found = explanations(results).get("scores")
    rows = list(found) if isinstance(found, Sequence) else []
    labels = list(dict.fromkeys(row["label"] for row in rows))
    return sorted(rows, key=lambda row: (labels.index(row["label"]), row["method"] == RANDOM))


def agreement(results: Results) -> list[Row]:
    """Return a row a student and method; none of results that only had one pair."""
    found = explanations(results).get("agreement")
    return [] if isinstance(found, Mapping) or not found else list(found)


def sanity(results: Results) -> list[Row]:
    """Return a row a model and method whose maps were checked."""
    return list(explanations(results).get("sanity") or ())


def measured(row: Row, name: str) -> Mapping[str, Any] | None:
    """Return mean and interval of a score of a row; None: it was not measured."""
    found: Mapping[str, Any] | None = (row.get("measures") or {}).get(name)
    return found


def mean(found: Mapping[str, Any] | None) -> float | None:
    """Return the mean of what was measured, or None."""
    return number(found.get("mean")) if found else None


def baseline(rows: Sequence[Row], row: Row, name: str) -> float | None:
    """Return what random maps of the same model score, or None."""
    for other in rows:
        if (other["label"], other["method"]) == (row["label"], RANDOM):
            return mean(measured(other, name))
    return None


def beats(found: Mapping[str, Any] | None, floor: float | None, name: str) -> bool | None:
    """Return whether the interval of a score lies on the better side of ``floor``.

    None: that is not known, since one of the two is missing or has no interval.
    """
    ends = [number(found.get(end)) for end in ("low", "high")] if found else [None]
    known = [end for end in ends if end is not None]
    if floor is None or len(known) < 2:
        return None
    return known[1] < floor if better(name) == "low" else known[0] > floor


def title(name: str) -> str:
    """Return how a table calls a score."""
    return measure.DEFINITIONS[name].title


def meaning(name: str) -> str:
    """Return what a score is, and which way is better."""
    found = measure.DEFINITIONS[name]
    return f"{found.text}{_WAY[found.better]}"


def better(name: str) -> str:
    """Return ``low`` or ``high``: which values of a score are the good ones; "": neither."""
    return measure.DEFINITIONS[name].better


def judged(name: str) -> bool:
    """Return whether a better value of a score speaks for a map.

    A map that copies the image is like its input; that may be called fidelity, but no merit.
    """
    return better(name) != ""


_WAY = {"low": " Lower is better.", "high": " Higher is better.", "": ""}
