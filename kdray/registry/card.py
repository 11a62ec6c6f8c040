"""The model card of a package: what it is, its data, scores, lineage and limits, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kdray.registry import serving_rows
from kdray.registry.explained import agreement_table, score_table, verdicts
from kdray.registry.package import Package
from kdray.registry.serving import told

#: Said on the card, on the page and in the answers of the service.
NOTICE = "Research software. Not a medical device: not for diagnosis or treatment."
_SCORES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "auc": "AUC (macro, one against the rest)",
    "ece": "expected calibration error",
    "loss": "cross-entropy, nats",
}
_COSTS = {
    "parameters": ("parameters", "{:,.0f}"),
    "macs": ("multiply-accumulates for one image", "{:,.0f}"),
    "latency_ms": ("latency for one image, ms", "{:.2f}"),
    "file_mb": ("weights, MB", "{:.2f}"),
}


def model_card(package: Package, metrics: Mapping[str, Any], title: str = "") -> str:
    """Return the model card of a package, Markdown.

    Args:
        package: The package.
        metrics: Its ``metrics.json``: ``summary``, ``cost`` and ``against_alone`` of a model of
            ``results.json``, ``confidence`` and ``dataset`` of the job, and what its
            ``explanations`` say of this model; all optional.
        title: The heading; empty: the model's id.
    """
    blocks = [
        f"# {title or package.id}",
        f"> {NOTICE}",
        *_what(package),
        *_data(package, metrics.get("dataset", {})),
        *_scores(metrics.get("summary", {}), metrics.get("confidence", 0.95)),
        *_comparison(metrics.get("against_alone") or {}),
        *_explanations(metrics.get("explanations") or {}),
        *_costs(metrics.get("cost", {})),
        *_serving(package),
        *_lineage(package),
        *_limits(package, metrics),
    ]
    return "\n\n".join(blocks) + "\n"


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield the leaves of nested facts as (dotted name, text)."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{key}", ", ".join(str(item) for item in value)
        elif value is not None:
            yield f"{prefix}{key}", str(value)


def spread(value: Mapping[str, Any]) -> str:
    """Return a score with its interval as text, such as ``0.912 [0.884, 0.940] over 3 seeds``."""
    mean = value.get("mean")
    if mean is None:
        return "not defined"
    ends = [value.get("low"), value.get("high")]
    between = f" [{ends[0]:.3f}, {ends[1]:.3f}]" if None not in ends else ""
    over = f" over {value['n']} {value['over']}" if {"n", "over"} <= value.keys() else ""
    return f"{mean:.3f}{between}{over}"


def _what(package: Package) -> list[str]:
    settings = ", ".join(f"{key}={value}" for key, value in package.model["params"].items())
    colour = "grey" if package.channels == 1 else "colour"
    rows = [
        ("model", f"{package.model['name']}{f' ({settings})' if settings else ''}"),
        ("trained as", package.role),
        ("input", f"one {colour} image, resized to {package.image_size} x {package.image_size}"),
        (
            "answers",
            f"probabilities of {len(package.classes)} classes: {_joined(package.classes)}",
        ),
        ("weights", f"{package.weights.file}, SHA-256 `{package.weights.sha256}`"),
    ]
    return ["## What it is", _table(("", ""), rows)]


def _data(package: Package, dataset: Mapping[str, Any]) -> list[str]:
    rows = [
        (split, sum(counts.values()), _joined(f"{name} {n}" for name, n in counts.items()))
        for split, counts in dataset.get("counts", {}).items()
    ]
    content = dataset.get("hash") or package.lineage.get("data")
    blocks = [_table(("split", "images", "of each class"), rows)] if rows else []
    if content and not isinstance(content, Mapping):
        blocks.append(f"Content hash of the dataset: `{content}`.")
    return ["## Data", *blocks] if blocks else []


def _scores(summary: Mapping[str, Any], confidence: float) -> list[str]:
    rows = [
        (split, _SCORES.get(score, score), spread(value))
        for split, scores in summary.items()
        for score, value in scores.items()
        if value is not None
    ]
    if not rows:
        return []
    note = f"Mean and {confidence:.0%} interval. The test split was used once, after all choices."
    return ["## Scores", _table(("split", "score", "value"), rows), note]


def _comparison(against: Mapping[str, Any]) -> list[str]:
    rows = [
        (split, _SCORES.get(score, score), _difference(value))
        for split, scores in against.items()
        for score, value in (scores or {}).items()
        if value is not None
    ]
    if not rows:
        return []
    heading = "## Against the same model trained without a teacher"
    return [heading, _table(("split", "score", "difference, paired"), rows)]


def _difference(value: Mapping[str, Any]) -> str:
    text = f"{value['mean']:+.3f}"
    if value.get("low") is not None and value.get("high") is not None:
        text += f" [{value['low']:+.3f}, {value['high']:+.3f}]"
    return f"{text}, p = {value['p']:.3g}" if value.get("p") is not None else text


def _explanations(explanations: Mapping[str, Any]) -> list[str]:
    head, rows = score_table(explanations)
    blocks = []
    if rows:
        scored = explanations.get("scored") or {}
        images = f"{scored['images']} images" if scored.get("images") else "images"
        blocks = [
            _table(head, rows),
            f"Mean over {images} of the {scored.get('split', 'test')} split, with its interval. "
            "Under `random` stand maps of chance: a method no better than it explains nothing.",
        ]
    head, rows = agreement_table(explanations)
    if rows:
        said = "How alike the maps are to the teacher's, and to its maps of other images (chance)."
        blocks += [_table(head, rows), said]
    sane = list(verdicts(explanations))
    if sane:
        said = "Whether the maps change when the weights are made random (passed) or not (failed)."
        blocks += [_table(("method", "randomised weights"), sane), said]
    return ["## Explanations", *blocks] if blocks else []


def _costs(cost: Mapping[str, Any]) -> list[str]:
    rows = [
        (name, form.format(cost[key]))
        for key, (name, form) in _COSTS.items()
        if cost.get(key) is not None
    ]
    return ["## Cost", _table(("", ""), rows)] if rows else []


def _serving(package: Package) -> list[str]:
    if package.serving is None:
        return []
    facts = json.loads((package.folder / package.serving.file).read_text(encoding="utf-8"))
    said = (
        "Temperature, limits of the sets and distances come from the validation split: they hold "
        "for images like those."
    )
    blocks = ["## Served by", _table(("", ""), serving_rows.rows(told(facts)))]
    return [*blocks, said] if facts.get("confidence") else blocks


def _lineage(package: Package) -> list[str]:
    rows = [(name, f"`{text}`") for name, text in flat(package.lineage)]
    return ["## Lineage", _table(("", ""), rows)] if rows else []


def _limits(package: Package, metrics: Mapping[str, Any]) -> list[str]:
    limits = [
        "It always answers one of its classes, also for an image that is none of them.",
        "How far its probabilities can be trusted is the calibration error above: without "
        "calibration, those of the network."
        if metrics.get("summary")
        else "No scores are recorded for it: do not rely on its answers.",
        "A heat map shows where the model looked, not where the disease is.",
        "It knows only images like those it was trained on: other scanners, protocols or patients "
        f"need a test of their own, at {package.image_size} x {package.image_size} pixels.",
    ]
    if "test_clean" in metrics.get("summary", {}):
        limits.append(
            "Some test images have a copy in the training split; the scores of `test_clean` leave "
            "them out."
        )
    return ["## Limits", "\n".join(f"- {limit}" for limit in limits)]


def _joined(items: Iterable[str]) -> str:
    return ", ".join(items)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
