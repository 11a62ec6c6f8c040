"""How the scores of a method's trials lie over its settings: parallel axes and contours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kdray.report._scale import Scale, scale_of
from kdray.report._svg import BEHIND, INK, MUTED, RAMP, SERIES, draw
from kdray.report.trials import FEWEST, Space, Trial, best_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 11.2
_ACROSS = 3
#: Of a contour: points a side, width of the average in shares of an axis, and the least weight of
#: trials nearby (one trial at a distance of two widths) below which it stays blank.
_GRID, _WITHIN, _NEAR = 48, 0.09, math.exp(-2)


def parallel_chart(
    trials: Sequence[Trial], spaces: Mapping[str, Space], score: str, name: str, *, lower: bool
) -> str | None:
    """Return a line a finished trial through its student, teacher, settings and score.

    Args:
        trials: The trials of one method.
        spaces: Setting -> space.
        score: What people call the score.
        name: Prefix of the ids in the SVG.
        lower: Whether a lower score is better.

    Returns:
        None where fewer than four trials ended, or all with one score.
    """
    done = [trial for trial in trials if trial.complete]
    if not varied(done):
        return None
    columns = _columns(done, spaces, score)
    lines = np.array(
        [[scale.place(value) for scale, value in _row(columns, i)] for i in range(len(done))]
    )
    lines += _apart(columns, len(done))
    best = best_of(done, lower=lower)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        _strands(axes, lines, np.array([trial.value for trial in done], float), lower)
        chosen = lines[[trial is best for trial in done].index(True)]
        axes.plot(chosen, color=SERIES[1], linewidth=2.4, label="best")
        _upright(axes, [scale for scale, _ in columns])

    axes_named = ", ".join(scale.name for scale, _ in columns)
    alt = f"Parallel axes of {len(done)} trials: {axes_named}"
    return draw(paint, size=(_WIDTH, 3.0), name=name, alt=alt)


def contour_chart(
    panels: Mapping[str, tuple[Sequence[Trial], Mapping[str, Space]]],
    score: str,
    name: str,
    *,
    lower: bool,
) -> str | None:
    """Return the scores over the two most important settings of each method.

    Scores are taken against the median of their own pair where there are several pairs, and
    averaged over the trials nearby. A method with one setting is drawn as score against it.

    Args:
        panels: Method -> its trials, and its one or two most important settings with their spaces.
        score: What people call the score.
        name: Prefix of the ids in the SVG.
        lower: Whether a lower score is better.

    Returns:
        None where no method has enough trials.
    """
    drawn = {
        method: ([trial for trial in trials if trial.complete], spaces)
        for method, (trials, spaces) in panels.items()
        if spaces and varied([trial for trial in trials if trial.complete])
    }
    if not drawn:
        return None
    rows = math.ceil(len(drawn) / _ACROSS)

    def paint(figure: Figure) -> None:
        axes = figure.subplots(rows, _ACROSS, squeeze=False).flatten()
        for place, (method, (trials, spaces)) in zip(axes, drawn.items(), strict=False):
            values, unit = _against_pair(trials, score)
            place.set_title(f"{method}: {unit}")
            draws = _contour if len(spaces) > 1 else _slope
            draws(place, trials, spaces, values, lower)
        for place in axes[len(drawn) :]:
            place.set_axis_off()

    alt = f"{score} over the two most important settings of {', '.join(drawn)}"
    return draw(paint, size=(_WIDTH, 3.1 * rows), name=name, alt=alt)


def varied(trials: Sequence[Trial]) -> bool:
    """Return whether there are enough trials, with more than one score."""
    return len(trials) >= FEWEST and len({trial.score for trial in trials}) > 1


def _columns(
    trials: Sequence[Trial], spaces: Mapping[str, Space], score: str
) -> list[tuple[Scale, list[Any]]]:
    """Return the scales from left to right with their values: arms, settings, score."""
    found: list[tuple[Scale, list[Any]]] = []
    for kind in ("student", "teacher"):
        values: list[Any] = [getattr(trial, kind) or "none" for trial in trials]
        if len(set(values)) > 1:
            found.append((Scale(kind, choices=tuple(sorted(set(values), reverse=True))), values))
    for setting, space in spaces.items():
        values = [trial.params[setting] for trial in trials]
        found.append((scale_of(setting, space, values), values))
    scores = [trial.value for trial in trials]
    return [*found, (Scale(score, min(scores), max(scores)), scores)]


def _row(columns: Sequence[tuple[Scale, list[Any]]], index: int) -> list[tuple[Scale, Any]]:
    return [(scale, values[index]) for scale, values in columns]


def _apart(columns: Sequence[tuple[Scale, list[Any]]], num: int) -> NDArray[np.float64]:
    """Return small shifts ``[N, axes]``, so that lines through one choice can be told apart."""
    spread = np.linspace(-1, 1, num) if num > 1 else np.zeros(1)
    shifts = [0.16 / max(4, len(scale.choices)) * bool(scale.choices) for scale, _ in columns]
    return np.outer(spread, shifts)


def _strands(
    axes: Axes, lines: NDArray[np.float64], scores: NDArray[np.float64], lower: bool
) -> None:
    """Draw the lines in as many shades as there are, the better ones later and stronger."""
    order = np.argsort(-scores if lower else scores, kind="stable")
    width = 1.1 if len(lines) < 100 else 0.7
    for shade, members in zip(RAMP[1:], np.array_split(order, len(RAMP) - 1), strict=True):
        gap = np.full((len(members), 1), np.nan)
        heights = np.hstack([lines[members], gap]).ravel()
        places = np.tile(np.append(np.arange(lines.shape[1]), np.nan), len(members))
        axes.plot(places, heights, color=shade, linewidth=width)


def _upright(axes: Axes, scales: Sequence[Scale]) -> None:
    """Turn the picture's own axes into one upright axis for each scale."""
    last = len(scales) - 1
    for place, scale in enumerate(scales):
        axes.plot([place, place], [0, 1], color=INK, linewidth=0.9)
        for height, text in scale.ticks():
            side: dict[str, Any] = {"ha": "left" if place == last else "right", "va": "center"}
            shift = 0.012 * max(1, last) * (1 if place == last else -1)
            axes.text(
                place + shift,
                height,
                text,
                fontsize=8,
                color=MUTED,
                **side,
                bbox=BEHIND,
            )
        axes.text(place, 1.09, scale.name, ha="center", fontsize=9, color=INK)
    axes.set_xlim(-0.13 * max(1, last), last + 0.09 * max(1, last))
    axes.set_ylim(-0.07, 1.16)
    axes.set_axis_off()


def _against_pair(trials: Sequence[Trial], score: str) -> tuple[NDArray[np.float64], str]:
    """Return the scores, less the median of their arm where there are several, and their name."""
    arms: dict[str, list[float]] = {}
    for trial in trials:
        arms.setdefault(trial.arm, []).append(trial.value)
    if len(arms) == 1:
        return np.array([trial.value for trial in trials], float), score
    middle = {arm: median(scores) for arm, scores in arms.items()}
    values = [trial.value - middle[trial.arm] for trial in trials]
    return np.array(values), f"{score} minus the pair's median"


def _contour(
    axes: Axes,
    trials: Sequence[Trial],
    spaces: Mapping[str, Space],
    values: NDArray[np.float64],
    lower: bool,
) -> None:
    across, up = (_scale(trials, name, space) for name, space in spaces.items())
    x, y = (
        np.array([scale.place(trial.params[scale.name]) for trial in trials])
        for scale in (across, up)
    )
    surface = _average(x, y, values)
    shown = surface[np.isfinite(surface)]
    levels = np.linspace(shown.min(), shown.max(), len(RAMP) + 1)
    grid = np.linspace(0, 1, _GRID)
    if levels[0] < levels[-1]:
        figure: Figure = axes.get_figure(root=True)  # type: ignore[assignment]
        shades = RAMP[::-1] if lower else RAMP
        filled = axes.contourf(grid, grid, surface, levels=levels, colors=shades)
        filled.set_edgecolor("face")
        bar = figure.colorbar(filled, ax=axes, ticks=levels[[0, -1]], format="%.3f")
        bar.outline.set_visible(False)
    axes.plot(x, y, "o", markersize=3, color=INK, alpha=0.55, clip_on=False)
    best = _best(trials, lower)
    _ring(axes, x[[best]], y[[best]], clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=across.name, ylabel=up.name)
    axes.set_xticks(*_split(across))
    axes.set_yticks(*_split(up))
    axes.grid(visible=False)


def _slope(
    axes: Axes,
    trials: Sequence[Trial],
    spaces: Mapping[str, Space],
    values: NDArray[np.float64],
    lower: bool,
) -> None:
    [(name, space)] = spaces.items()
    scale = _scale(trials, name, space)
    x = np.array([scale.place(trial.params[name]) for trial in trials])
    axes.plot(x, values, "o", markersize=4.5, color=SERIES[0], alpha=0.75)
    best = _best(trials, lower)
    _ring(axes, x[[best]], values[[best]])
    axes.set(xlim=(-0.04, 1.04), xlabel=name)
    axes.set_xticks(*_split(scale))


def _ring(
    axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], *, clip_on: bool = True
) -> None:
    """Ring the best trial."""
    axes.plot(
        x,
        y,
        "o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=SERIES[1],
        markeredgewidth=1.8,
        clip_on=clip_on,
    )


def _best(trials: Sequence[Trial], lower: bool) -> int:
    found = best_of(trials, lower=lower)
    return next(index for index, trial in enumerate(trials) if trial is found)


def _scale(trials: Sequence[Trial], name: str, space: Space) -> Scale:
    return scale_of(name, space, [trial.params[name] for trial in trials])


def _split(scale: Scale) -> tuple[list[float], list[str]]:
    ticks = scale.ticks()
    return [place for place, _ in ticks], [text for _, text in ticks]


def _average(
    x: NDArray[np.float64], y: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the Gaussian-weighted mean of values on the grid; NaN where no trial is near."""
    grid = np.linspace(0, 1, _GRID)
    apart = (grid[None, :, None] - x) ** 2 + (grid[:, None, None] - y) ** 2
    weights = np.exp(-apart / (2 * _WITHIN**2))
    total = weights.sum(axis=-1)
    return np.where(total < _NEAR, np.nan, (weights @ values) / np.maximum(total, 1e-12))
