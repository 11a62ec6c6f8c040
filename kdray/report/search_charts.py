"""A search in the order of its trials, what mattered in it, and its Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kdray.report._scale import log_axis, whole_ticks
from kdray.report._svg import BEHIND, INK, MUTED, SERIES, draw
from kdray.report.facts import SCORES, Results
from kdray.report.trials import FEWEST, Trial, best_of, lower_is_better, trials_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Cost -> heading of its axis, and the unit.
COSTS = {
    "macs": ("operations, million MACs", 1e6),
    "parameters": ("parameters, million", 1e6),
    "latency_ms": ("latency, ms", 1.0),
    "file_mb": ("file, MB", 1.0),
}
#: Arms or students that get a colour of their own; the others share one.
_COLOURED = 5
_ACROSS = 3
_WIDTH = 11.2


def history_chart(results: Results, name: str) -> str | None:
    """Return the score of every trial in the order of the search; None with fewer than two.

    The arms that got furthest have a colour each; a cross is a trial that was stopped early, the
    line the best finished one so far.

    Args:
        results: The results of a job.
        name: Prefix of the ids in the SVG.
    """
    trials = [trial for trial in trials_of(results) if trial.score is not None]
    if len(trials) < 2:
        return None
    lower = lower_is_better(results)
    groups = _grouped(trials, "arm", lower)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for (label, members), colour in zip(groups.items(), (*SERIES, MUTED), strict=False):
            _points(axes, members, MUTED if label.startswith("other ") else colour, label)
        _best_so_far(axes, trials, lower)
        _zoom(axes, trials, lower)
        axes.set_xlabel("trial")
        axes.margins(x=0.02)
        axes.set_ylabel(f"validation {SCORES[results['select']]}")
        whole_ticks(axes)
        _legend(figure, axes)

    alt = f"Validation {SCORES[results['select']]} of {len(trials)} trials in their order"
    height = 3.1 + 0.22 * math.ceil((len(groups) + 2) / _ACROSS)
    return draw(paint, size=(_WIDTH, height), name=name, alt=alt)


def importance_chart(panels: Mapping[str, Mapping[str, float]], name: str) -> str | None:
    """Return the shares of the choices as bars, a panel each; None without panels.

    Args:
        panels: Title -> choice -> share in the variance of the scores, largest first.
        name: Prefix of the ids in the SVG.
    """
    if not panels:
        return None
    rows = math.ceil(len(panels) / _ACROSS)
    most = max(len(shares) for shares in panels.values())

    def paint(figure: Figure) -> None:
        axes = figure.subplots(rows, _ACROSS, squeeze=False).flatten()
        for place, (title, shares) in zip(axes, panels.items(), strict=False):
            _bars(place, title, shares)
        for place in axes[len(panels) :]:
            place.set_axis_off()

    said = "; ".join(f"{title}: {next(iter(shares))} first" for title, shares in panels.items())
    size = (_WIDTH, rows * (0.75 + 0.24 * most))
    return draw(paint, size=size, name=name, alt=f"Importances. {said}")


def pareto_chart(results: Results, name: str) -> str | None:
    """Return the score of the finished trials against each cost, the Pareto front marked.

    Args:
        results: The results of a job.
        name: Prefix of the ids in the SVG.
    """
    study = results.get("search") or {}
    costs = [cost for cost in study.get("against") or () if cost in COSTS]
    front = {entry["number"] for entry in study.get("pareto") or ()}
    shown = [t for t in trials_of(results) if t.complete or t.number in front]
    trials = [t for t in shown if t.score is not None and all(c in t.costs for c in costs)]
    if not costs or not trials:
        return None
    groups = _grouped(trials, "student", lower_is_better(results))

    def paint(figure: Figure) -> None:
        axes = figure.subplots(1, max(2, len(costs)), sharey=True, squeeze=False)[0]
        for place, cost in zip(axes, costs, strict=False):
            _front_panel(place, groups, front, cost, line=len(costs) == 1)
        for place in axes[len(costs) :]:
            place.set_axis_off()
        axes[0].set_ylabel(f"validation {SCORES[results['select']]}")
        _legend(figure, axes[0])

    alt = f"Scores of {len(trials)} trials against {', '.join(costs)}; {len(front)} on the front"
    return draw(paint, size=(_WIDTH, 3.4), name=name, alt=alt)


def _grouped(trials: Sequence[Trial], by: str, lower: bool) -> dict[str, list[Trial]]:
    """Return the trials by arm or student, those with the best trials first, the rest as one."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(str(getattr(trial, by)), []).append(trial)

    def order(label: str) -> tuple[bool, float]:
        best = best_of(found[label], lower=lower)
        score = 0.0 if best is None else best.value
        return (best is None or not best.complete, score if lower else -score)

    ranked = sorted(found, key=order)
    if len(ranked) <= _COLOURED + 1:
        return {label: found[label] for label in ranked}
    rest = ranked[_COLOURED:]
    others = [trial for label in rest for trial in found[label]]
    return {**{label: found[label] for label in ranked[:_COLOURED]}, _others(by, rest): others}


def _others(by: str, labels: Sequence[str]) -> str:
    return f"other {by}s ({len(labels)})"


def _points(axes: Axes, trials: Sequence[Trial], colour: str, label: str) -> None:
    size = 5.0 if len(trials) < 150 else 3.2
    done = [trial for trial in trials if trial.complete]
    stopped = [trial for trial in trials if not trial.complete]
    numbers, scores = ([t.number for t in done], [t.value for t in done])
    axes.plot(numbers, scores, "o", color=colour, markersize=size, label=label)
    early: dict[str, Any] = {"color": colour, "markersize": size, "alpha": 0.7}
    axes.plot([t.number for t in stopped], [t.value for t in stopped], "x", **early)


def _best_so_far(axes: Axes, trials: Sequence[Trial], lower: bool) -> None:
    done = [trial for trial in trials if trial.complete]
    better = np.minimum if lower else np.maximum
    line = better.accumulate([trial.value for trial in done])
    last = max(trial.number for trial in trials)
    places = [*(trial.number for trial in done), last]
    style: dict[str, Any] = {"where": "post", "color": INK, "linewidth": 1.1}
    if done:
        axes.step(places, [*line, line[-1]], label="best finished so far", **style)
    if len(done) < len(trials):
        axes.plot([], [], "x", color=MUTED, markersize=5, label="stopped early")


def _zoom(axes: Axes, trials: Sequence[Trial], lower: bool) -> None:
    """Leave out what would squeeze the finished trials into a stripe, and say how much it is."""
    sign = 1.0 if lower else -1.0
    done = np.sort([sign * trial.value for trial in trials if trial.complete])
    if len(done) < FEWEST or done[0] == done[-1]:
        return
    cut = done[math.ceil(0.9 * len(done)) - 1]
    span = cut - done[0] or done[-1] - done[0]
    best = min(sign * trial.value for trial in trials)  # one that was stopped may have been ahead
    ends = (best - 0.08 * span, cut + 0.6 * span)
    outside = sum(sign * trial.value > ends[1] for trial in trials)
    if not outside:
        return
    axes.set_ylim(ends if lower else (-ends[1], -ends[0]))
    at: dict[str, Any] = {"ha": "right", "va": "top" if lower else "bottom"}
    text = f"{outside} weaker trial{'s' if outside > 1 else ''} outside the picture"
    look: dict[str, Any] = {"color": MUTED, "fontsize": 8.5, "transform": axes.transAxes}
    axes.text(0.995, 0.98 if lower else 0.02, text, bbox=BEHIND, **at, **look)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=_ACROSS)


def _bars(axes: Axes, title: str, shares: Mapping[str, float]) -> None:
    places = range(len(shares))
    axes.barh(places, list(shares.values()), color=SERIES[0], height=0.62)
    for place, share in zip(places, shares.values(), strict=True):
        text = f"{100 * share:.0f}%"
        axes.text(share + 0.015, place, text, va="center", fontsize=8.5, color=MUTED)
    axes.set_yticks(places, list(shares))
    axes.set_xticks([])
    axes.set_xlim(0, 1.12)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_title(title)


def _front_panel(
    axes: Axes, groups: Mapping[str, Sequence[Trial]], front: set[int], cost: str, *, line: bool
) -> None:
    title, unit = COSTS[cost]
    log_axis(axes, subs=(1, 2, 5))
    for (label, trials), colour in zip(groups.items(), (*SERIES, MUTED), strict=False):
        x, y = [trial.costs[cost] / unit for trial in trials], [trial.value for trial in trials]
        shown = MUTED if label.startswith("other ") else colour
        axes.plot(x, y, "o", color=shown, markersize=4.5, alpha=0.65, label=label)
    best = [t for trials in groups.values() for t in trials if t.number in front]
    best.sort(key=lambda trial: trial.costs[cost])
    x, y = [trial.costs[cost] / unit for trial in best], [trial.value for trial in best]
    ring: dict[str, Any] = {"markersize": 10, "markerfacecolor": "none", "markeredgewidth": 1.6}
    axes.plot(x, y, "o", markeredgecolor=INK, **ring, label="Pareto front")
    if line:
        axes.step(x, y, where="post", color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlabel(title)
