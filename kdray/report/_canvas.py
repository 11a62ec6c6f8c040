"""Pictures and text at places in inches, for the figures of explanations."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kdray.maps import shown_levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
#: Inches: border, and the foot with the scale and the notes.
MARGIN, FOOTER = 0.15, 0.62
HEAT = "inferno"
INK, MUTED, WRONG, BLANK = "#1b1b1b", "#5c5c5c", "#b3261e", "#e3e3e3"
_OPACITY = 0.5
_LETTERS_PER_INCH = 14


def sheet(width: float, height: float) -> Figure:
    """Return an empty white figure of a size in inches."""
    from matplotlib.figure import Figure  # slow to import

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; the same figure gives the same bytes."""
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


def cell(figure: Figure, left: float, top: float, side: float) -> Axes:
    """Return empty axes ``side`` inches wide and high."""
    width, height = figure.get_size_inches()
    box = (left / width, 1 - (top + side) / height, side / width, side / height)
    axes = figure.add_axes(box)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def picture(
    axes: Axes,
    image: NDArray[np.uint8],
    heat: NDArray[Any] | None = None,
    mask: NDArray[Any] | None = None,
) -> None:
    """Show an image, a map over it at a fixed opacity, and the outline of the lesion.

    Args:
        axes: Where.
        image: uint8 ``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]``.
        heat: ``[H, W]`` in [0, 1].
        mask: ``[H, W]``, non-zero inside the lesion.
    """
    grey = image.ndim == 2 or image.shape[2] == 1
    shown = image.reshape(image.shape[:2]) if grey else image
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    if heat is not None:
        look: dict[str, Any] = {"cmap": HEAT, "alpha": _OPACITY, "vmin": 0, "vmax": 1}
        axes.imshow(shown_levels(heat), interpolation="bilinear", **look)
    if mask is not None and mask.any():
        inside = np.asarray(mask) > 0
        axes.contour(inside, levels=[0.5], colors="black", linewidths=2.4)
        axes.contour(inside, levels=[0.5], colors="white", linewidths=1.1)


def no_map(axes: Axes, reason: str, side: float) -> None:
    """Show a grey field with the reason why there is no map."""
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_facecolor(BLANK)
    place: dict[str, Any] = {"ha": "center", "transform": axes.transAxes, "color": MUTED}
    axes.text(0.5, 0.62, "no map", fontsize=9, weight="bold", **place)
    lines = wrapped(reason, 0.9 * side, max_lines=int(3.9 * side))
    axes.text(0.5, 0.57, lines, fontsize=8, va="top", parse_math=False, **place)


def caption(axes: Axes, text: str, colour: str = INK, weight: str = "normal") -> None:
    """Write a line below axes."""
    look: dict[str, Any] = {"fontsize": 9, "color": colour, "weight": weight}
    place: dict[str, Any] = {"ha": "center", "va": "top", "transform": axes.transAxes}
    axes.text(0.5, -0.05, text, parse_math=False, **look, **place)


def footer(figure: Figure, text: str, colours: str = HEAT) -> None:
    """Draw the scale of the maps at the foot, and beside it what a reader should know."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((MARGIN / width, 0.26 / height, 1 / width, 0.1 / height))
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=colours, aspect="auto")
    axes.set_axis_off()
    left = MARGIN + 1.12
    lines = wrapped(text, width - left - MARGIN, max_lines=4)
    write(figure, left, height - 0.31, lines, ha="left", color=MUTED, fontsize=8)


def write(figure: Figure, x: float, y: float, text: str, **look: Any) -> None:
    """Write text at ``x`` inches from the left and ``y`` from the top."""
    width, height = figure.get_size_inches()
    look = {"ha": "center", "va": "center", "color": INK, **look}
    figure.text(x / width, 1 - y / height, text, parse_math=False, **look)


def shortened(text: str, inches: float, taken: int = 0) -> str:
    """Return text that fits a width less ``taken`` letters; its middle is left out."""
    room = max(4, int(inches * _LETTERS_PER_INCH) - taken)
    if len(text) <= room:
        return text
    end = (room - 3) // 2  # the end tells "grade 3" from "grade 4"
    return f"{text[: room - 3 - end]}...{text[len(text) - end :]}"


def wrapped(text: str, inches: float, max_lines: int) -> str:
    """Return text in lines that fit a width."""
    room = int(inches * _LETTERS_PER_INCH)
    return textwrap.fill(text, room, max_lines=max_lines, placeholder="...")
