"""Scales of axes: where a value lies, and which values are named along it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdray.report.cells import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Letters of a choice's name along an axis.
_LETTERS = 18


@dataclass(frozen=True)
class Scale:
    """An axis from 0 to 1 for the values of one setting.

    Args:
        name: What it shows.
        low: The value at 0; unused for choices.
        high: The value at 1; unused for choices.
        log: Whether it is logarithmic.
        choices: The choices, evenly apart, instead of a range.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def place(self, value: Any) -> float:
        """Return where a value lies, 0 to 1; the middle where there is but one value."""
        if self.choices:
            return _share(self.choices.index(value), 0, len(self.choices) - 1)
        if self.log:
            return _share(math.log(value), math.log(self.low), math.log(self.high))
        return _share(value, self.low, self.high)

    def ticks(self) -> list[tuple[float, str]]:
        """Return place and text of the values that are named."""
        if self.choices:
            return [(self.place(choice), _short(str(choice))) for choice in self.choices]
        return [(self.place(value), f"{value:.3g}") for value in self._values()]

    def _values(self) -> list[float]:
        if self.low == self.high:
            return [self.low]
        if self.log:
            return _powers(self.low, self.high)
        from matplotlib.ticker import MaxNLocator  # slow, as in _svg

        found = MaxNLocator(nbins=4).tick_values(self.low, self.high)
        slack = 1e-6 * (self.high - self.low)
        return [v for v in map(float, found) if self.low - slack <= v <= self.high + slack]


def scale_of(name: str, space: Mapping[str, Any], values: Sequence[Any]) -> Scale:
    """Return the scale of a setting: its whole space, and the values that lie outside it."""
    if space.get("choices") or any(number(value) is None for value in values):
        return Scale(name, choices=tuple(dict.fromkeys((*(space.get("choices") or ()), *values))))
    low, high = min(space["min"], *values), max(space["max"], *values)
    return Scale(name, float(low), float(high), bool(space.get("log")) and low > 0)


def log_axis(axes: Axes, subs: tuple[int, ...]) -> None:
    """Make the horizontal axis logarithmic, its numbers without powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # slow, as in _svg

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def whole_ticks(axes: Axes) -> None:
    """Name whole numbers alone along the horizontal axis."""
    from matplotlib.ticker import MaxNLocator  # slow, as in _svg

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if low == high else (value - low) / (high - low)


def _powers(low: float, high: float) -> list[float]:
    """Return the powers of ten of a range, or its ends where it holds fewer than two."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    found = [10.0**power for power in range(first, last + 1)]
    return found if len(found) > 1 else sorted({low, *found, high})


def _short(text: str) -> str:
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 3]}..."
