"""Charts of a job's results as inline SVG: learning curves, score against cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kdray.report import cells, facts
from kdray.report._scale import log_axis, whole_ticks
from kdray.report._svg import MUTED, PAPER, SERIES, draw
from kdray.report.facts import SCORES, Model, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

Pick = Callable[[Mapping[str, Any]], object]

_MARKERS = ("o", "s", "^", "D", "v", "P")


def learning_curves(model: Model, select: str, name: str) -> str | None:
    """Return training loss and validation score against epochs; None without a history.

    Each run is a thin line, the mean over the runs a bold one, as far as every run went; a dot
    marks the epoch whose weights were kept.

    Args:
        model: A model of the results.
        select: The validation score that chose the epochs.
        name: Prefix of the ids in the SVG.
    """
    runs = [run for run in model["runs"] if run.get("history")]
    if not runs:
        return None

    def paint(figure: Figure) -> None:
        loss, score = figure.subplots(1, 2)
        _curves(loss, runs, lambda epoch: epoch.get("train_loss"), SERIES[1])
        _curves(score, runs, lambda epoch: epoch["validation"].get(select), SERIES[0])
        _mark_best(score, runs, select)
        loss.set_title("training loss")
        score.set_title(f"validation {SCORES[select]}")

    alt = f"Learning curves of {model['label']}: training loss and validation {SCORES[select]}"
    return draw(paint, size=(6.2, 2.3), name=name, alt=alt)


def score_against_cost(results: Results, split: str, name: str) -> str | None:
    """Return the score of every model against its operations, latency and file size.

    The line joins the models that no cheaper one equals.

    Args:
        results: The results of a job.
        split: The split whose scores are drawn.
        name: Prefix of the ids in the SVG.
    """
    score = facts.main_score(results)
    shown = [m for m in results["models"] if _mean(m, split, score) is not None and m.get("cost")]
    if not shown:
        return None
    panels = (
        ("macs", 1e6, "operations, million MACs"),
        ("latency_ms", 1.0, "latency, ms"),
        ("file_mb", 1.0, "file, MB"),
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots(1, len(panels), sharey=True)
        for place, (key, unit, title) in zip(axes, panels, strict=True):
            _costs(place, shown, split, score, (key, unit))
            place.set_xlabel(title)
        axes[0].set_ylabel(f"{SCORES[score]} on {split}")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3)

    height = 3.0 + 0.22 * math.ceil((len(shown) + 1) / 3)
    alt = f"{SCORES[score]} on {split} against operations, latency and file size of every model"
    return draw(paint, size=(11.2, height), name=name, alt=alt)


def _curves(axes: Axes, runs: Sequence[Mapping[str, Any]], pick: Pick, colour: str) -> None:
    lines = [[_or_nan(pick(epoch)) for epoch in run["history"]] for run in runs]
    style: dict[str, Any] = (
        {"linewidth": 0.9, "alpha": 0.55} if len(runs) > 1 else {"linewidth": 2.4}
    )
    for run, line in zip(runs, lines, strict=True):
        epochs = [epoch["epoch"] for epoch in run["history"]]
        axes.plot(epochs, line, color=colour, **style)
    if len(runs) > 1:
        common = min(len(line) for line in lines)
        means = [sum(values) / len(values) for values in zip(*lines, strict=False)]
        epochs = [epoch["epoch"] for epoch in runs[0]["history"]][:common]
        axes.plot(epochs, means, color=colour, linewidth=2.4)
    axes.set_xlabel("epoch")
    whole_ticks(axes)


def _mark_best(axes: Axes, runs: Sequence[Mapping[str, Any]], select: str) -> None:
    for run in runs:
        kept = [e for e in run["history"] if e["epoch"] == run.get("best_epoch")]
        for epoch in kept:
            value = _or_nan(epoch["validation"].get(select))
            axes.plot([epoch["epoch"]], [value], "o", markersize=4.5, color=SERIES[0])


def _costs(
    axes: Axes, models: Sequence[Model], split: str, score: str, cost: tuple[str, float]
) -> None:
    key, unit = cost
    placed = [
        (model, x / unit, y)
        for model in models
        if (x := cells.number(model["cost"].get(key)))
        and (y := _mean(model, split, score)) is not None
    ]
    log_axis(axes, subs=(1, 2, 5))
    front = _front([(x, y) for _, x, y in placed])
    line = {"color": MUTED, "linewidth": 1, "linestyle": (0, (4, 3))}
    axes.step([x for x, _ in front], [y for _, y in front], where="post", **line)
    kinds = list(dict.fromkeys(_kind(model) for model in models))
    nets = list(dict.fromkeys(model["model"] for model in models))
    for model, x, y in placed:
        same = [other for other, cost, _ in placed if cost == x]
        style: dict[str, Any] = {
            "color": SERIES[kinds.index(_kind(model)) % len(SERIES)],
            "transform": _beside(axes, same.index(model) - (len(same) - 1) / 2),
        }
        ends = _ends(model, split, score)
        axes.plot([x] * 3, [*ends, y], linestyle="none")  # shifted drawings do not widen the axes
        axes.plot([x] * 2, [*ends], linewidth=1.6, **style)
        marker = _MARKERS[nets.index(model["model"]) % len(_MARKERS)]
        label = f"{model['label']} (teacher)" if model["role"] == "teacher" else model["label"]
        axes.plot([x], [y], marker, markersize=8, markeredgecolor=PAPER, label=label, **style)


def _kind(model: Model) -> tuple[str, str | None, str | None]:
    return (model["role"], model.get("teacher"), model.get("method"))


def _beside(axes: Axes, place: float) -> Transform:
    """Return where to draw models of equal cost: next to each other, a few points apart."""
    from matplotlib.transforms import ScaledTranslation  # slow, as in _svg

    inches = axes.get_figure(root=True).dpi_scale_trans  # type: ignore[union-attr]
    return axes.transData + ScaledTranslation(place * 9 / 72, 0, inches)


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no cheaper or equally cheap one equals, cheapest first."""
    kept: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or score > kept[-1][1]:
            kept.append((cost, score))
    return kept


def _mean(model: Model, split: str, score: str) -> float | None:
    return cells.number((facts.summary(model, split, score) or {}).get("mean"))


def _ends(model: Model, split: str, score: str) -> tuple[float, float]:
    found = facts.summary(model, split, score) or {}
    return _or_nan(found.get("low")), _or_nan(found.get("high"))


def _or_nan(value: object) -> float:
    found = cells.number(value)
    return math.nan if found is None else found
