"""What a benchmark found: rows with a value, its spread and the bar that it should meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from kdray.bench._timing import Spread

#: The unit of correlations.
PEARSON = "Pearson"
COLUMNS = ("what", "value", "bar", "met", "made of")


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    Args:
        what: Says it in words; for a ratio, what is divided by what.
        value: What was found.
        unit: Its unit; ``ratio`` and ``Pearson`` have none.
        bar: What it must not exceed; None: shown for what it tells.
        at_least: Whether the bar is what it must reach instead.
        parts: Name -> what the ratio is made of.
        parts_unit: Unit of the parts.
        note: What a reader has to know.
    """

    what: str
    value: Spread
    unit: str = "ratio"
    bar: float | None = None
    at_least: bool = False
    parts: Mapping[str, Spread] = field(default_factory=dict)
    parts_unit: str = "s"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median is within the bar; None where there is no bar."""
        if self.bar is None:
            return None
        value = self.value.median
        return value >= self.bar if self.at_least else value <= self.bar


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows for programs."""
    return [{**asdict(row), "met": row.met} for row in rows]


def cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return rows for people, a text for each of ``COLUMNS``."""
    return [_cells(row) for row in rows]


def markdown(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table."""
    return lines(COLUMNS, cells(rows))


def lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return texts as a Markdown table."""
    whole = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in whole)


def _cells(row: Row) -> tuple[str, ...]:
    unit = "" if row.unit in ("ratio", PEARSON) else f" {row.unit}"
    form = _correlation if row.unit == PEARSON else number
    parts = ", ".join(
        f"{name} {_part(part.median, row.parts_unit)}" for name, part in row.parts.items()
    )
    return (
        row.what,
        f"{form(row.value.median)}{unit}{_quartiles(row.value, form)}",
        "" if row.bar is None else f"{'>= ' if row.at_least else ''}{row.bar:g}",
        {None: "", True: "yes", False: "NO"}[row.met],
        "; ".join(text for text in (parts, row.note) if text),
    )


def _part(value: float, unit: str) -> str:
    return _correlation(value) if unit == PEARSON else f"{number(value)} {unit}"


def _quartiles(value: Spread, form: Callable[[float], str]) -> str:
    """Return quartiles and number of measurements; nothing where there is one."""
    if value.n == 1:
        return ""
    return f" ({form(value.low)} to {form(value.high)}, n {value.n})"


def _correlation(value: float) -> str:
    """Return a correlation with the digits that tell 0.9999 from 1."""
    return f"{value:.5f}"


def number(value: float) -> str:
    """Return a number with three digits that count; large ones, and whole ones from 10, whole."""
    if abs(value) >= 1000 or (value == int(value) and not 0 < abs(value) < 10):
        return f"{value:,.0f}"
    if 0 < abs(value) < 1:
        return f"{value:.3g}"
    return f"{value:.{2 if abs(value) < 10 else 1}f}"
