"""Matplotlib figures as inline SVG whose colours follow the page (light, dark, print)."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colour in the drawing -> CSS variable in the page.
INK, MUTED, GRID, PAPER = "#010203", "#040506", "#070809", "#0a0b0c"
SERIES = ("#a10001", "#a10002", "#a10003", "#a10004", "#a10005", "#a10006")
#: From next to the page's colour to the strongest one: more colour is better.
RAMP = ("#b20001", "#b20002", "#b20003", "#b20004", "#b20005", "#b20006", "#b20007")
#: Behind text that lies over a drawing.
BEHIND = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.2}
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--card",
    **{colour: f"--series-{index}" for index, colour in enumerate(SERIES, 1)},
    **{colour: f"--ramp-{index}" for index, colour in enumerate(RAMP, 1)},
}
_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "lines.linewidth": 1.8,
}


def draw(
    paint: Callable[[Figure], None], *, size: tuple[float, float], name: str, alt: str
) -> str:
    """Return an SVG element.

    Args:
        paint: Draws on the empty figure with the colours of this module.
        size: Width and height, inches at 72 units.
        name: Prefix of every id inside, unique on the page.
        alt: What the picture shows, for readers who cannot see it.
    """
    import matplotlib  # slow: only who draws pays for it
    from matplotlib.figure import Figure

    style = {**_STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(style):  # type: ignore[attr-defined,unused-ignore]
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None})
    return _inline(target.getvalue(), name, alt)


def _inline(svg: str, name: str, alt: str) -> str:
    """Keep the drawing alone: no prologue, no metadata, no addresses, ids of its own."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]*)"', svg)
    width = re.search(r'width="([\d.]+)pt"', svg)
    head = (
        f'<svg class="chart" role="img" aria-label="{escape(alt)}" '
        f'viewBox="{box.group(1) if box else ""}" '
        f'style="max-width:{float(width.group(1)) * 4 / 3 if width else 800:.0f}px">'
    )
    svg = re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.strip()
