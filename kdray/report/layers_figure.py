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
from kdray.report._blocks import CELL, Blocks, heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Inches above the pictures.
HEADER = 0.4
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
    blocks = Blocks(HEADER, len(layers))
    figure = _canvas.sheet(*blocks.size_inches(len(rows), longest))
    heading(figure, "average feature maps")
    for index, row in enumerate(rows):
        blocks.image(figure, index, row.image, row.label)
        for line, (model, names) in enumerate(layers.items()):
            blocks.name(figure, index, line, model)
            for column, name in enumerate(names):
                axes = blocks.cell(figure, index, line, column)
                _layer(axes, row.maps[model, name])
                _canvas.caption(axes, _canvas.shortened(name, CELL))
    said = f"Colour: least to most active, each map on its own scale. {note}"
    _canvas.footer(figure, said.strip(), _COLOURS)
    _canvas.save(figure, path)


def _layer(axes: Axes, found: NDArray[Any] | str) -> None:
    if isinstance(found, str):
        _canvas.no_map(axes, found, CELL)
        return
    axes.imshow(found, cmap=_COLOURS, interpolation="nearest")
