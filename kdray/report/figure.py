"""The explanation figure: images, and what each model looks at, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kdray.report import _canvas
from kdray.report._canvas import DPI, FOOTER, INK, MARGIN, MUTED, WRONG

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DPI", "ExplainedImage", "Prediction", "explanation_figure", "foot", "size_inches"]

#: Inches: a picture's side, gaps between pictures and between methods, text.
CELL, GAP, METHOD_GAP = 1.6, 0.06, 0.24
HEADER, CAPTION = 0.74, 0.32


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
    figure = _canvas.sheet(*size_inches(len(rows), len(methods), len(models)))
    _headers(figure, methods, models)
    for index, row in enumerate(rows):
        _row(figure, index, row, [(method, model) for method in methods for model in models])
    outlined = any(row.mask is not None and row.mask.any() for row in rows)
    _canvas.footer(figure, foot(outlined, note))
    _canvas.save(figure, path)


def size_inches(num_rows: int, num_methods: int, num_models: int) -> tuple[float, float]:
    """Return width and height of a figure; times ``DPI``, its pixels."""
    columns = num_methods * num_models
    across = MARGIN + CELL + columns * (GAP + CELL) + num_methods * (METHOD_GAP - GAP) + MARGIN
    return across, HEADER + num_rows * (CELL + CAPTION) + FOOTER


def foot(outlined: bool, note: str) -> str:
    """Return what stands at the foot of a figure of maps over images."""
    outline = "White outline: the lesion." if outlined else ""
    scale = "Colour: least to most important, each map on its own scale."
    return " ".join(part for part in (scale, outline, note) if part)


def _row(figure: Figure, index: int, row: ExplainedImage, keys: Sequence[tuple[str, str]]) -> None:
    top = HEADER + index * (CELL + CAPTION)
    axes = _canvas.cell(figure, _left(0, 1), top, CELL)
    _canvas.picture(axes, row.image, mask=row.mask)
    _canvas.caption(axes, _canvas.shortened(row.label, CELL), weight="bold")
    num_models = len({model for _, model in keys})
    for column, key in enumerate(keys):
        axes = _canvas.cell(figure, _left(column + 1, num_models), top, CELL)
        found = row.maps[key]
        if isinstance(found, str):
            _canvas.no_map(axes, found, CELL)
        else:
            _canvas.picture(axes, row.image, found, row.mask)
        prediction = row.predictions[key[1]]
        colour = INK if prediction.label == row.label else WRONG
        _canvas.caption(axes, _predicted(prediction, row.label), colour)


def _left(column: int, num_models: int) -> float:
    """Return where a column starts, inches; column 0 holds the images."""
    started = (column - 1) // num_models + 1 if column else 0
    return MARGIN + column * (CELL + GAP) + started * (METHOD_GAP - GAP)


def _predicted(prediction: Prediction, label: str) -> str:
    mark = "" if prediction.label == label else "\u2717 "
    chance = f" {100 * prediction.probability:.0f} %"
    return mark + _canvas.shortened(prediction.label, CELL, len(mark + chance)) + chance


def _headers(figure: Figure, methods: Sequence[str], models: Sequence[str]) -> None:
    small: dict[str, Any] = {"color": MUTED, "va": "bottom", "fontsize": 8.5}
    large: dict[str, Any] = {"weight": "bold", "va": "top", "fontsize": 11}
    line = HEADER - 0.07
    _canvas.write(figure, MARGIN + CELL / 2, line, "image, true class", **small)
    span = len(models) * (CELL + GAP) - GAP
    for index, method in enumerate(methods):
        start = _left(1 + index * len(models), len(models))
        name = _canvas.shortened(method, 0.7 * span)
        _canvas.write(figure, start + span / 2, MARGIN, name, **large)
        for place, model in enumerate(models):
            middle = start + place * (CELL + GAP) + CELL / 2
            lines = _canvas.wrapped(model, CELL, max_lines=2)
            _canvas.write(figure, middle, line, lines, **small)
