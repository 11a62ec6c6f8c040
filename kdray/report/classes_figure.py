"""The figure of all classes: an image, and where each model looks for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kdray.report import _canvas
from kdray.report._blocks import CELL, Blocks, heading, left_of
from kdray.report._canvas import INK, MARGIN, MUTED, WRONG
from kdray.report.figure import foot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches above the pictures.
HEADER = 0.72


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

    What a model predicts stands in bold below its map, in red where it is wrong. A map that does
    not exist is a grey field with the reason, never a picture.

    Args:
        path: The file to write.
        rows: The images, at least one.
        classes: The classes, left to right.
        models: Names of the models, top to bottom: the teacher first.
        method: Name of the explanation.
        note: A line for the foot of the figure.
    """
    blocks = Blocks(HEADER, len(models))
    figure = _canvas.sheet(*blocks.size_inches(len(rows), len(classes)))
    _headers(figure, classes, method)
    for index, row in enumerate(rows):
        blocks.image(figure, index, row.image, row.label, row.mask)
        for line, model in enumerate(models):
            blocks.name(figure, index, line, model)
            predicted = max(classes, key=lambda name: row.probabilities[name, model])
            for column, name in enumerate(classes):
                axes = blocks.cell(figure, index, line, column)
                _map(axes, row, (name, model), chosen=name == predicted)
    outlined = any(row.mask is not None and row.mask.any() for row in rows)
    said = f"Each map explains the class above it; % is the model's probability of it. {note}"
    _canvas.footer(figure, foot(outlined, said.strip()))
    _canvas.save(figure, path)


def _headers(figure: Figure, classes: Sequence[str], method: str) -> None:
    heading(figure, method)
    small: dict[str, Any] = {"color": MUTED, "va": "bottom", "fontsize": 8.5}
    line = HEADER - 0.07
    _canvas.write(figure, MARGIN + CELL / 2, line, "image, true class", **small)
    for column, name in enumerate(classes):
        lines = _canvas.wrapped(name, CELL, max_lines=2)
        _canvas.write(figure, left_of(column) + CELL / 2, line, lines, **small)


def _map(axes: Axes, row: ClassMaps, key: tuple[str, str], *, chosen: bool) -> None:
    """Show a map, and below it how probable its class is to the model."""
    found = row.maps[key]
    if isinstance(found, str):
        _canvas.no_map(axes, found, CELL)
    else:
        _canvas.picture(axes, row.image, found, row.mask)
    chance = f"{100 * row.probabilities[key]:.0f} %"
    if not chosen:
        _canvas.caption(axes, chance, MUTED)
    elif key[0] == row.label:
        _canvas.caption(axes, chance, INK, "bold")
    else:
        _canvas.caption(axes, f"\u2717 {chance}", WRONG, "bold")
