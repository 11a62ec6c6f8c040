"""Charts of explanations as inline SVG: scores beside their baseline, maps as weights go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdray.report import cells, explained, facts
from kdray.report._svg import GRID, MUTED, PAPER, SERIES, draw
from kdray.report.explained import ALIKE, RANDOM, Row
from kdray.report.facts import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Models in a chart; the others are in the table alone.
MOST = 6
_MARKERS = ("o", "s", "^", "D", "v", "P")
_WIDTH = 11.2
#: Inches: a dot's line, the room between two methods, and what stands around the dots.
_LINE, _BETWEEN, _AROUND = 0.17, 0.14, 1.25
_ACROSS = 4


@dataclass(frozen=True)
class Dot:
    """One score of a method and model.

    Args:
        method: The method; its dots stand together.
        label: The model; its dots have one colour.
        found: The score with its interval over images; None: not measured.
        floor: What chance alone gives.
    """

    method: str
    label: str
    found: Mapping[str, Any] | None
    floor: float | None


def faithfulness_dots(results: Results, name: str) -> str | None:
    """Return scores of each method's maps, a dot a model, beside those of random maps.

    Args:
        results: The results of a job.
        name: Prefix of the ids in the SVG.
    """
    rows = explained.scores(results)
    labels = shown_labels(results)
    panels = {
        _panel(score): [
            Dot(
                row["method"],
                row["label"],
                explained.measured(row, score),
                explained.baseline(rows, row, score),
            )
            for row in rows
            if row["label"] in labels and row["method"] != RANDOM
        ]
        for score in ("deletion_auc", "insertion_auc", "retention", "energy_inside")
        if any(explained.measured(row, score) for row in rows)
    }
    alt = "Faithfulness of maps by each method, beside that of random maps"
    return _dots(panels, labels, "random maps", alt, name)


def agreement_dots(results: Results, name: str) -> str | None:
    """Return how alike the maps of each student and its teacher are, beside chance.

    Args:
        results: The results of a job.
        name: Prefix of the ids in the SVG.
    """
    rows = explained.agreement(results)
    labels = shown_labels(results)
    panels = {
        _panel(score): [
            Dot(
                row["method"],
                row["label"],
                row["all"].get(score),
                explained.mean(row["all"].get(f"chance_{score}")),
            )
            for row in rows
            if row["label"] in labels
        ]
        for score in ALIKE
        if any(row["all"].get(score) for row in rows)
    }
    alt = "Agreement of students' maps with their teacher's, beside chance"
    return _dots(panels, labels, "by chance", alt, name)


def shown_labels(results: Results) -> list[str]:
    """Return the models that charts show, in their order; each has one colour in all of them.

    Where there are too many, the best student, its teacher and its baseline come first.
    """
    rows = (
        *explained.scores(results),
        *explained.agreement(results),
        *explained.sanity(results),
    )
    known = list(dict.fromkeys(row["label"] for row in rows))
    best = facts.best_distilled(results) or facts.best_student(results)
    if best is None or len(known) <= MOST:
        return known[:MOST]
    near = (best, facts.teacher_of(results, best), facts.alone_of(results, best))
    wanted = [model["label"] for model in near if model and model["label"] in known]
    kept = [*wanted, *(label for label in known if label not in wanted)][:MOST]
    return [label for label in known if label in kept]


def randomisation_curves(results: Results, name: str) -> str | None:
    """Return how alike maps stay as more and more weights are random, a panel a method.

    Args:
        results: The results of a job.
        name: Prefix of the ids in the SVG.
    """
    labels = shown_labels(results)
    rows = [r for r in explained.sanity(results) if r.get("stages") and r["label"] in labels]
    if not rows:
        return None
    drawn = {row["label"]: labels.index(row["label"]) for row in rows}
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = math.ceil(len(methods) / _ACROSS)

    def paint(figure: Figure) -> None:
        grid = figure.subplots(lines, _ACROSS, sharey=True, squeeze=False).flatten()
        for axes, method in zip(grid, methods, strict=False):
            for row in (row for row in rows if row["method"] == method):
                _course(axes, row, drawn[row["label"]])
            axes.set(title=method, xlabel="share of the parts randomised", xlim=(0, 1))
            axes.set_xticks([0, 0.5, 1], ["0", "half", "all"])
        grid[0].set_ylabel("SSIM with the trained map")
        for axes in grid[len(methods) :]:
            axes.set_axis_off()
        _legend(figure, drawn, "random pairs of maps", dashed=True)

    said = "; ".join(f"{row['method']} of {row['label']}: {row.get('verdict')}" for row in rows)
    height = 2.35 * lines + 0.22 * (1 + math.ceil((len(drawn) + 1) / 3))
    alt = f"Similarity of maps as weights are randomised. {said}"
    return draw(paint, size=(_WIDTH, height), name=name, alt=alt)


def _panel(score: str) -> str:
    return f"{explained.title(score)}, {explained.better(score)}er is better"


def _dots(
    panels: Mapping[str, Sequence[Dot]], known: Sequence[str], floor: str, alt: str, name: str
) -> str | None:
    """Draw a panel a score, a group of lines a method, a line a model."""
    dots = next(iter(panels.values()), ())
    methods = list(dict.fromkeys(dot.method for dot in dots))
    if not methods:
        return None
    labels = {
        label: place
        for place, label in enumerate(known)
        if any(dot.label == label for dot in dots)
    }

    def paint(figure: Figure) -> None:
        grid = figure.subplots(1, max(3, len(panels)), sharey=True, squeeze=False)[0]
        for axes, (title, found) in zip(grid, panels.items(), strict=False):
            _panel_of(axes, found, methods, labels)
            axes.set_title(title)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        _legend(figure, labels, floor, dashed=False)

    inches = len(methods) * (len(labels) * _LINE + _BETWEEN)
    height = _AROUND + inches + 0.22 * math.ceil((len(labels) + 1) / 3)
    said = f"{alt}: {', '.join(labels)}"
    return draw(paint, size=(_WIDTH, height), name=name, alt=said)


def _panel_of(
    axes: Axes, dots: Sequence[Dot], methods: Sequence[str], labels: Mapping[str, int]
) -> None:
    step = len(labels) + _BETWEEN / _LINE
    for dot in dots:
        line = methods.index(dot.method) * step + list(labels).index(dot.label)
        _dot(axes, dot, line, labels[dot.label])
    middle = (len(labels) - 1) / 2
    axes.set_yticks([place * step + middle for place in range(len(methods))], list(methods))
    axes.set_ylim((len(methods) - 1) * step + len(labels) - 0.3, -0.7)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    for place in range(1, len(methods)):
        axes.axhline(place * step - (step - len(labels) + 1) / 2, color=GRID, linewidth=0.8)


def _dot(axes: Axes, dot: Dot, height: float, index: int) -> None:
    value = explained.mean(dot.found)
    colour, marker = SERIES[index % len(SERIES)], _MARKERS[index % len(_MARKERS)]
    if dot.floor is not None:
        style: dict[str, Any] = {"markersize": 10, "markeredgewidth": 1.8, "color": MUTED}
        axes.plot([dot.floor], [height], "|", **style)
    if value is None:
        return
    low, high = (cells.number((dot.found or {}).get(end)) for end in ("low", "high"))
    if low is not None and high is not None:
        axes.plot([low, high], [height] * 2, color=colour, linewidth=1.8)
    axes.plot([value], [height], marker, color=colour, markersize=6.5, markeredgecolor=PAPER)


def _course(axes: Axes, row: Row, index: int) -> None:
    stages = row["stages"]
    shares = [place / len(stages) for place in range(len(stages) + 1)]
    values = [1.0, *(_or_nan(stage.get("ssim")) for stage in stages)]
    colour, marker = SERIES[index % len(SERIES)], _MARKERS[index % len(_MARKERS)]
    look: dict[str, Any] = {"markersize": 5, "markeredgecolor": PAPER, "clip_on": False}
    axes.plot(shares, values, marker=marker, color=colour, **look)
    chance = cells.number(row.get("chance_ssim"))
    if chance is not None:
        axes.axhline(chance, color=colour, linewidth=1.2, linestyle=(0, (4, 3)))


def _legend(figure: Figure, labels: Mapping[str, int], floor: str, *, dashed: bool) -> None:
    from matplotlib.lines import Line2D  # slow, as in _svg

    known = [
        Line2D(
            [],
            [],
            marker=_MARKERS[index % len(_MARKERS)],
            color=SERIES[index % len(SERIES)],
            markeredgecolor=PAPER,
            label=label,
        )
        for label, index in labels.items()
    ]
    look: dict[str, Any] = (
        {"linestyle": (0, (4, 3)), "linewidth": 1.2}
        if dashed
        else {"linestyle": "none", "marker": "|", "markersize": 10, "markeredgewidth": 1.8}
    )
    chance = Line2D([], [], color=MUTED, label=floor, **look)
    figure.legend(handles=[*known, chance], loc="outside lower left", ncols=3)


def _or_nan(value: object) -> float:
    found = cells.number(value)
    return math.nan if found is None else found
