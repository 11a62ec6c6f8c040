"""The scores of a model's explanations in its ``metrics.json``: chosen, and as rows of tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Facts = Mapping[str, Any]

#: Scores of maps that tables show -> title and which direction is better. All of them lie in
#: ``metrics.json``; ``kdray.measure.DEFINITIONS`` says what they mean, but is slow to import.
SCORES = {
    "deletion_auc": "Deletion AUC (low)",
    "insertion_auc": "Insertion AUC (high)",
    "average_drop": "Average drop (low)",
    "label_agreement": "Label kept (F1) (high)",
    "pointing_hit": "Pointing game (high)",
    "energy_inside": "Energy inside (high)",
    "iou_best": "Best IoU (high)",
}
#: How alike two maps are -> title.
AGREEMENT = {"pearson": "Pearson", "ssim": "SSIM", "iou20": "IoU top 20%"}


def of_model(explanations: Facts, label: str) -> dict[str, Any]:
    """Return what the explanations of a job say of one model.

    Args:
        explanations: ``explanations`` of ``results.json``.
        label: What the job calls the model.

    Returns:
        ``scored``, ``scores``, ``agreement`` and ``sanity``; empty where nothing was scored.
    """
    found = {
        kind: [row for row in explanations.get(kind) or () if row.get("label") == label]
        for kind in ("scores", "agreement", "sanity")
    }
    if not any(found.values()):
        return {}
    return {"scored": explanations.get("scored"), **found}


def score_table(explanations: Facts) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the scores: a measured score a row, the methods in columns."""
    found = explanations.get("scores") or []
    if not found:
        return [], []
    names = [name for name in SCORES if any(_known(one, name) for one in found)]
    rows = [
        [SCORES[name], *(_spread((one.get("measures") or {}).get(name)) for one in found)]
        for name in names
    ]
    blank = ["blank maps", *(_blank(one) for one in found)]
    cost = ["time / forward pass", *(_ratio(one.get("met_forwards")) for one in found)]
    return ["score", *(str(one["method"]) for one in found)], [*rows, blank, cost]


def agreement_table(explanations: Facts) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the agreement with the teacher, each beside its chance level."""
    rows = explanations.get("agreement") or []
    head = ["method", "teacher", *(f"{title} (chance)" for title in AGREEMENT.values())]
    return (head, [_agreement_row(row) for row in rows]) if rows else ([], [])


def verdicts(explanations: Facts) -> Iterator[tuple[str, str]]:
    """Yield each method with its verdict of the parameter-randomisation check, and stability."""
    for row in explanations.get("sanity") or ():
        told = str(row.get("verdict") or "not told: too few maps, or blank ones")
        stability = row.get("stability") or {}
        if stability.get("mean") is not None:
            told += (
                f"; Pearson {stability['mean']:.3f} with the map of the image under small noise"
            )
        yield str(row["method"]), told


def _known(row: Facts, name: str) -> bool:
    value = (row.get("measures") or {}).get(name) or {}
    return value.get("mean") is not None


def _blank(row: Facts) -> str:
    return f"{row.get('degenerate', 0)} of {row['maps']}" if row.get("maps") else "-"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _agreement_row(row: Facts) -> list[str]:
    values = row.get("all") or {}
    cells = []
    for name in AGREEMENT:
        value, chance = _spread(values.get(name)), values.get(f"chance_{name}") or {}
        known = chance.get("mean") is not None
        cells.append(f"{value} ({chance['mean']:.3f})" if known else value)
    return [str(row["method"]), str(row.get("teacher") or "-"), *cells]


def _spread(value: Facts | None) -> str:
    if not value or value.get("mean") is None:
        return "-"
    ends = (value.get("low"), value.get("high"))
    between = "" if None in ends else f" [{ends[0]:.3f}, {ends[1]:.3f}]"
    return f"{value['mean']:.3f}{between}"
