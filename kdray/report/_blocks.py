"""Blocks of pictures: an image at the left, a line of maps for each model beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kdray.report import _canvas
from kdray.report._canvas import FOOTER, MARGIN, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches: a picture's side, gaps between pictures and after the image, text below, gap of blocks.
CELL, GAP, IMAGE_GAP = 1.35, 0.06, 0.42
CAPTION, BLOCK_GAP = 0.26, 0.14
#: Inches: below this width the notes at the foot have no room.
_NARROWEST = 4.6


@dataclass(frozen=True)
class Blocks:
    """Where the pictures of a figure lie.

    Args:
        header: Inches above the first block.
        num_lines: Models, a line each.
    """

    header: float
    num_lines: int

    def size_inches(self, num_blocks: int, num_columns: int) -> tuple[float, float]:
        """Return width and height of the whole figure; times ``DPI``, its pixels."""
        across = left_of(num_columns) - GAP + MARGIN
        return max(across, _NARROWEST), self.top(num_blocks, 0) - BLOCK_GAP + FOOTER

    def top(self, block: int, line: int) -> float:
        """Return where a line of a block starts, inches from the top."""
        down = block * (self.num_lines * (CELL + CAPTION) + BLOCK_GAP)
        return self.header + down + line * (CELL + CAPTION)

    def image(
        self,
        figure: Figure,
        block: int,
        image: NDArray[np.uint8],
        label: str,
        mask: NDArray[Any] | None = None,
    ) -> None:
        """Show the image of a block, its true class below."""
        axes = _canvas.cell(figure, MARGIN, self.top(block, 0), CELL)
        _canvas.picture(axes, image, mask=mask)
        _canvas.caption(axes, _canvas.shortened(label, CELL), weight="bold")

    def name(self, figure: Figure, block: int, line: int, model: str) -> None:
        """Write the name of a line's model beside it."""
        side: dict[str, Any] = {"rotation": 90, "color": MUTED, "fontsize": 8.5}
        middle = self.top(block, line) + CELL / 2
        lines = _canvas.wrapped(model, CELL, max_lines=2)
        _canvas.write(figure, left_of(0) - 0.2, middle, lines, **side)

    def cell(self, figure: Figure, block: int, line: int, column: int) -> Axes:
        """Return empty axes for a map."""
        return _canvas.cell(figure, left_of(column), self.top(block, line), CELL)


def left_of(column: int) -> float:
    """Return where a column of maps starts, inches."""
    return MARGIN + CELL + IMAGE_GAP + column * (CELL + GAP)


def heading(figure: Figure, text: str) -> None:
    """Write the heading of a figure."""
    large: Mapping[str, Any] = {"weight": "bold", "va": "top", "ha": "left", "fontsize": 11}
    _canvas.write(figure, MARGIN, 0.8 * MARGIN, _canvas.shortened(text, 2.6), **large)
