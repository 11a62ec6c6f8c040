"""The explanation figure: images, and what each model looks at, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
#: Inches: a picture's side, gaps between pictures and between methods, borders, text.
CELL, GAP, METHOD_GAP, MARGIN = 1.6, 0.06, 0.24, 0.15
HEADER, CAPTION, FOOTER = 0.74, 0.32, 0.62
_COLOURS, _OPACITY = "inferno", 0.5
_INK, _MUTED, _WRONG, _BLANK = "#1b1b1b", "#5c5c5c", "#b3261e", "#e3e3e3"
_LETTERS_PER_INCH = 14


@dataclass(frozen=True)
class Prediction:
    """What a model says of an image.

    Args:
        label: Name of the predicted class.
        probability: Of that class, 0 to 1.
    """

    label: str
    probability: float


@dataclass(frozen=True)
class ExplainedImage:
    """One row of the figure.

    Args:
        image: uint8 ``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]``.
        label: Name of the true class.
        predictions: Model -> its prediction.
        maps: (method, model) -> map ``[H, W]`` in [0, 1], or a text that says why there is none.
        mask: ``[H, W]``, non-zero inside the lesion; None where it is not known.
    """

    image: NDArray[np.uint8]
    label: str
    predictions: Mapping[str, Prediction]
    maps: Mapping[tuple[str, str], NDArray[Any] | str]
    mask: NDArray[Any] | None = None


def explanation_figure(
    path: Path,
    rows: Sequence[ExplainedImage],
    methods: Sequence[str],
    models: Sequence[str],
    note: str = "",
) -> None:
    """Write one PNG: a row for each image, and for each method a column for each model.

    A map lies over its image at a fixed opacity, each scaled to its own range; a map that does
    not exist is a grey field with the reason, never a picture.

    Args:
        path: The file to write.
        rows: The images, at least one.
        methods: Names of the explanations, left to right.
        models: Names of the models, left to right under each method.
        note: A line for the foot of the figure, such as which class the maps explain.
    """
    from matplotlib.figure import Figure  # slow to import

    width, height = size_inches(len(rows), len(methods), len(models))
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    _headers(figure, methods, models)
    for index, row in enumerate(rows):
        _row(figure, index, row, [(method, model) for method in methods for model in models])
    _footer(figure, any(row.mask is not None and row.mask.any() for row in rows), note)
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


def size_inches(num_rows: int, num_methods: int, num_models: int) -> tuple[float, float]:
    """Return width and height of a figure; times ``DPI``, its pixels."""
    columns = num_methods * num_models
    across = MARGIN + CELL + columns * (GAP + CELL) + num_methods * (METHOD_GAP - GAP) + MARGIN
    return across, HEADER + num_rows * (CELL + CAPTION) + FOOTER


def _row(figure: Figure, index: int, row: ExplainedImage, keys: Sequence[tuple[str, str]]) -> None:
    top = HEADER + index * (CELL + CAPTION)
    axes = _cell(figure, _left(0, 1), top)
    _picture(axes, row)
    _caption(axes, _shortened(row.label, CELL), weight="bold")
    num_models = len({model for _, model in keys})
    for column, key in enumerate(keys):
        axes = _cell(figure, _left(column + 1, num_models), top)
        found = row.maps[key]
        if isinstance(found, str):
            _no_map(axes, found)
        else:
            _picture(axes, row, found)
        prediction = row.predictions[key[1]]
        colour = _INK if prediction.label == row.label else _WRONG
        _caption(axes, _predicted(prediction, row.label), colour)


def _left(column: int, num_models: int) -> float:
    """Return where a column starts, inches; column 0 holds the images."""
    started = (column - 1) // num_models + 1 if column else 0
    return MARGIN + column * (CELL + GAP) + started * (METHOD_GAP - GAP)


def _cell(figure: Figure, left: float, top: float) -> Axes:
    width, height = figure.get_size_inches()
    box = (left / width, 1 - (top + CELL) / height, CELL / width, CELL / height)
    axes = figure.add_axes(box)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def _picture(axes: Axes, row: ExplainedImage, heat: NDArray[Any] | None = None) -> None:
    grey = row.image.ndim == 2 or row.image.shape[2] == 1
    image = row.image.reshape(row.image.shape[:2]) if grey else row.image
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    if heat is not None:
        look: dict[str, Any] = {"cmap": _COLOURS, "alpha": _OPACITY, "vmin": 0, "vmax": 1}
        axes.imshow(heat, interpolation="bilinear", **look)
    if row.mask is not None and row.mask.any():
        inside = np.asarray(row.mask) > 0
        axes.contour(inside, levels=[0.5], colors="black", linewidths=2.4)
        axes.contour(inside, levels=[0.5], colors="white", linewidths=1.1)


def _no_map(axes: Axes, reason: str) -> None:
    axes.set_facecolor(_BLANK)
    place: dict[str, Any] = {"ha": "center", "transform": axes.transAxes, "color": _MUTED}
    axes.text(0.5, 0.62, "no map", fontsize=9, weight="bold", **place)
    lines = _wrapped(reason, 0.9 * CELL, max_lines=6)
    axes.text(0.5, 0.57, lines, fontsize=8, va="top", parse_math=False, **place)


def _predicted(prediction: Prediction, label: str) -> str:
    mark = "" if prediction.label == label else "\u2717 "
    chance = f" {100 * prediction.probability:.0f} %"
    return mark + _shortened(prediction.label, CELL, len(mark + chance)) + chance


def _caption(axes: Axes, text: str, colour: str = _INK, weight: str = "normal") -> None:
    look: dict[str, Any] = {"fontsize": 9, "color": colour, "weight": weight}
    place: dict[str, Any] = {"ha": "center", "va": "top", "transform": axes.transAxes}
    axes.text(0.5, -0.05, text, parse_math=False, **look, **place)


def _headers(figure: Figure, methods: Sequence[str], models: Sequence[str]) -> None:
    small: dict[str, Any] = {"color": _MUTED, "va": "bottom", "fontsize": 8.5}
    large: dict[str, Any] = {"weight": "bold", "va": "top", "fontsize": 11}
    _write(figure, MARGIN + CELL / 2, HEADER - 0.07, "image, true class", **small)
    span = len(models) * (CELL + GAP) - GAP
    for index, method in enumerate(methods):
        start = _left(1 + index * len(models), len(models))
        _write(figure, start + span / 2, MARGIN, _shortened(method, 0.7 * span), **large)
        for place, model in enumerate(models):
            middle = start + place * (CELL + GAP) + CELL / 2
            _write(figure, middle, HEADER - 0.07, _wrapped(model, CELL, max_lines=2), **small)


def _footer(figure: Figure, outlined: bool, note: str) -> None:
    width, height = figure.get_size_inches()
    axes = figure.add_axes((MARGIN / width, 0.26 / height, 1 / width, 0.1 / height))
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=_COLOURS, aspect="auto")
    axes.set_axis_off()
    outline = "White outline: the lesion." if outlined else ""
    scale = "Colour: least to most important, each map on its own scale."
    left = MARGIN + 1.12
    text = " ".join(part for part in (scale, outline, note) if part)
    lines = _wrapped(text, width - left - MARGIN, max_lines=4)
    _write(figure, left, height - 0.31, lines, ha="left", color=_MUTED, fontsize=8)


def _write(figure: Figure, x: float, y: float, text: str, **look: Any) -> None:
    """Write text at ``x`` inches from the left and ``y`` from the top."""
    width, height = figure.get_size_inches()
    look = {"ha": "center", "va": "center", "color": _INK, **look}
    figure.text(x / width, 1 - y / height, text, parse_math=False, **look)


def _shortened(text: str, inches: float, taken: int = 0) -> str:
    room = max(4, int(inches * _LETTERS_PER_INCH) - taken)
    if len(text) <= room:
        return text
    end = (room - 3) // 2  # the end tells "grade 3" from "grade 4"
    return f"{text[: room - 3 - end]}...{text[len(text) - end :]}"


def _wrapped(text: str, inches: float, max_lines: int) -> str:
    room = int(inches * _LETTERS_PER_INCH)
    return textwrap.fill(text, room, max_lines=max_lines, placeholder="...")
