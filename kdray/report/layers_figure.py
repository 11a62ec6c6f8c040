"""The figure of all layers: an image, and the average feature map of each layer in a row.

As "A Knowledge Distillation-Based Approach to Enhance Transparency of Classifier Models"
(arXiv:2502.15959) reads a network from its first layer to its last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kdray.report import _canvas
from kdray.report._canvas import FOOTER, MARGIN, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches: a picture's side, gaps between pictures and after the image, text above and below.
CELL, GAP, IMAGE_GAP = 1.35, 0.06, 0.42
HEADER, CAPTION, BLOCK_GAP = 0.4, 0.26, 0.14
_COLOURS = "viridis"


@dataclass(frozen=True)
class LayerMaps:
    """One image of the figure.

    Args:
        image: uint8 ``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]``.
        label: Name of the true class.
        maps: (model, layer) -> map ``[h, w]`` of any size, or a text that says why there is none.
    """

    image: NDArray[np.uint8]
    label: str
    maps: Mapping[tuple[str, str], NDArray[Any] | str]


def layers_figure(
    path: Path, rows: Sequence[LayerMaps], layers: Mapping[str, Sequence[str]], note: str = ""
) -> None:
    """Write one PNG: for each image a line a model, its layers from left to right.

    Maps stand alone, not over their image, each on its own scale. A map that does not exist is a
    grey field with the reason, never a picture.

    Args:
        path: The file to write.
        rows: The images, at least one.
        layers: Model -> its layers from input to output; the teacher first.
        note: A line for the foot of the figure.
    """
    longest = max(len(names) for names in layers.values())
    figure = _canvas.sheet(*size_inches(len(rows), longest, len(layers)))
    title: dict[str, Any] = {"weight": "bold", "va": "top", "ha": "left", "fontsize": 11}
    _canvas.write(figure, MARGIN, MARGIN * 0.8, "average feature maps", **title)
    for index, row in enumerate(rows):
        _block(figure, _top(index, len(layers)), row, layers)
    said = f"Colour: least to most active, each map on its own scale. {note}"
    _canvas.footer(figure, said.strip(), _COLOURS)
    _canvas.save(figure, path)


def size_inches(num_rows: int, num_layers: int, num_models: int) -> tuple[float, float]:
    """Return width and height of a figure; times ``DPI``, its pixels."""
    across = _left(num_layers) - GAP + MARGIN
    return max(across, 4.6), _top(num_rows, num_models) - BLOCK_GAP + FOOTER


def _top(index: int, num_models: int) -> float:
    return HEADER + index * (num_models * (CELL + CAPTION) + BLOCK_GAP)


def _left(column: int) -> float:
    """Return where the column of a layer starts, inches."""
    return MARGIN + CELL + IMAGE_GAP + column * (CELL + GAP)


def _block(
    figure: Figure, top: float, row: LayerMaps, layers: Mapping[str, Sequence[str]]
) -> None:
    axes = _canvas.cell(figure, MARGIN, top, CELL)
    _canvas.picture(axes, row.image)
    _canvas.caption(axes, _canvas.shortened(row.label, CELL), weight="bold")
    for line, (model, names) in enumerate(layers.items()):
        place = top + line * (CELL + CAPTION)
        side: dict[str, Any] = {"rotation": 90, "color": MUTED, "fontsize": 8.5}
        lines = _canvas.wrapped(model, CELL, max_lines=2)
        _canvas.write(figure, _left(0) - 0.2, place + CELL / 2, lines, **side)
        for column, name in enumerate(names):
            axes = _canvas.cell(figure, _left(column), place, CELL)
            _layer(axes, row.maps[model, name])
            _canvas.caption(axes, _canvas.shortened(name, CELL))


def _layer(axes: Axes, found: NDArray[Any] | str) -> None:
    if isinstance(found, str):
        _canvas.no_map(axes, found, CELL)
        return
    axes.imshow(found, cmap=_COLOURS, interpolation="nearest")
