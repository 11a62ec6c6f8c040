"""The figure of all classes: an image, and where each model looks for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kdray.report import _canvas
from kdray.report._canvas import FOOTER, INK, MARGIN, MUTED
from kdray.report.figure import foot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Inches: a picture's side, gaps between pictures and after the image, text above and below.
CELL, GAP, IMAGE_GAP = 1.35, 0.06, 0.42
HEADER, CAPTION, BLOCK_GAP = 0.72, 0.26, 0.14


@dataclass(frozen=True)
class ClassMaps:
    """One image of the figure.

    Args:
        image: uint8 ``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]``.
        label: Name of the true class.
        probabilities: (class, model) -> the probability that the model gives the class.
        maps: (class, model) -> map ``[H, W]`` in [0, 1], or a text that says why there is none.
        mask: ``[H, W]``, non-zero inside the lesion; None where it is not known.
    """

    image: NDArray[np.uint8]
    label: str
    probabilities: Mapping[tuple[str, str], float]
    maps: Mapping[tuple[str, str], NDArray[Any] | str]
    mask: NDArray[Any] | None = None


def classes_figure(
    path: Path,
    rows: Sequence[ClassMaps],
    classes: Sequence[str],
    models: Sequence[str],
    method: str,
    note: str = "",
) -> None:
    """Write one PNG: for each image a line a model and a column a class.

    The class that a model predicts stands in bold below its map. A map that does not exist is a
    grey field with the reason, never a picture.

    Args:
        path: The file to write.
        rows: The images, at least one.
        classes: The classes, left to right.
        models: Names of the models, top to bottom: the teacher first.
        method: Name of the explanation.
        note: A line for the foot of the figure.
    """
    figure = _canvas.sheet(*size_inches(len(rows), len(classes), len(models)))
    _headers(figure, classes, method)
    for index, row in enumerate(rows):
        _block(figure, _top(index, len(models)), row, classes, models)
    outlined = any(row.mask is not None and row.mask.any() for row in rows)
    said = f"Each map explains the class above it; % is the model's probability of it. {note}"
    _canvas.footer(figure, foot(outlined, said.strip()))
    _canvas.save(figure, path)


def size_inches(num_rows: int, num_classes: int, num_models: int) -> tuple[float, float]:
    """Return width and height of a figure; times ``DPI``, its pixels."""
    across = _left(num_classes) - GAP + MARGIN
    return max(across, 4.6), _top(num_rows, num_models) - BLOCK_GAP + FOOTER


def _top(index: int, num_models: int) -> float:
    return HEADER + index * (num_models * (CELL + CAPTION) + BLOCK_GAP)


def _left(column: int) -> float:
    """Return where the column of a class starts, inches."""
    return MARGIN + CELL + IMAGE_GAP + column * (CELL + GAP)


def _headers(figure: Figure, classes: Sequence[str], method: str) -> None:
    small: dict[str, Any] = {"color": MUTED, "va": "bottom", "fontsize": 8.5}
    line = HEADER - 0.07
    large: dict[str, Any] = {"weight": "bold", "va": "top", "ha": "left", "fontsize": 11}
    _canvas.write(figure, MARGIN, MARGIN, _canvas.shortened(method, 3.0), **large)
    _canvas.write(figure, MARGIN + CELL / 2, line, "image, true class", **small)
    for column, name in enumerate(classes):
        lines = _canvas.wrapped(name, CELL, max_lines=2)
        _canvas.write(figure, _left(column) + CELL / 2, line, lines, **small)


def _block(
    figure: Figure, top: float, row: ClassMaps, classes: Sequence[str], models: Sequence[str]
) -> None:
    axes = _canvas.cell(figure, MARGIN, top, CELL)
    _canvas.picture(axes, row.image, mask=row.mask)
    _canvas.caption(axes, _canvas.shortened(row.label, CELL), weight="bold")
    for line, model in enumerate(models):
        place = top + line * (CELL + CAPTION)
        side: dict[str, Any] = {"rotation": 90, "color": MUTED, "fontsize": 8.5}
        lines = _canvas.wrapped(model, CELL, max_lines=2)
        _canvas.write(figure, _left(0) - 0.2, place + CELL / 2, lines, **side)
        _line(figure, place, row, classes, model)


def _line(figure: Figure, top: float, row: ClassMaps, classes: Sequence[str], model: str) -> None:
    predicted = max(classes, key=lambda name: row.probabilities[name, model])
    for column, name in enumerate(classes):
        axes = _canvas.cell(figure, _left(column), top, CELL)
        found = row.maps[name, model]
        if isinstance(found, str):
            _canvas.no_map(axes, found, CELL)
        else:
            _canvas.picture(axes, row.image, found, row.mask)
        weight, colour = ("bold", INK) if name == predicted else ("normal", MUTED)
        _canvas.caption(axes, f"{100 * row.probabilities[name, model]:.0f} %", colour, weight)
