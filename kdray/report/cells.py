"""A table as data: cells that know both their text and the numbers behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MISSING = "n/a"
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: What is shown.
        value: What is sorted by and written to CSV; None where there is no value.
        low: Lower end of the interval, for values that have one.
        high: Upper end of the interval.
        seeds: Ends of a second interval, over seeds, where the first is over images.
        best: Whether no other one of its kind is better.
    """

    text: str
    value: float | str | None = None
    low: float | None = None
    high: float | None = None
    seeds: tuple[float, float] | None = None
    best: bool = False


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        key: Name in CSV and JSON.
        title: Heading.
        meaning: What the column holds, with its unit.
        numeric: Whether its values are numbers (aligned to the right).
        interval: Whether its values have intervals (two more columns in CSV).
    """

    key: str
    title: str
    meaning: str = ""
    numeric: bool = False
    interval: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns, and what a reader has to know about them.

    Args:
        name: Name in JSON.
        title: Heading.
        columns: The columns.
        rows: The rows, each as long as ``columns``.
        notes: Sentences that stand below the table.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def only(table: Table, keys: Sequence[str]) -> Table:
    """Return the table with the columns named in ``keys`` alone, in the table's order."""
    kept = [index for index, column in enumerate(table.columns) if column.key in keys]
    return Table(
        table.name,
        table.title,
        tuple(table.columns[index] for index in kept),
        tuple(tuple(row[index] for index in kept) for row in table.rows),
        table.notes,
    )


def over_seeds(cell: Cell) -> str:
    """Return a cell's second interval as text, or nothing."""
    return "" if cell.seeds is None else f"seeds [{cell.seeds[0]:.3f}, {cell.seeds[1]:.3f}]"


def number(value: object) -> float | None:
    """Return ``value`` as a finite float, or None where there is none (null, NaN, infinite)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def word(text: object) -> Cell:
    """Return a cell of text; a dash for None."""
    return Cell("-") if text is None else Cell(str(text), str(text))


def count(value: object) -> Cell:
    """Return a cell of a whole number with thousands separated."""
    found = number(value)
    return Cell(MISSING) if found is None else Cell(f"{found:,.0f}", round(found))


def fixed(value: object, digits: int = 3) -> Cell:
    """Return a cell with ``digits`` decimals."""
    found = number(value)
    return Cell(MISSING) if found is None else Cell(f"{found:.{digits}f}", found)


def percent(part: float, whole: float) -> Cell:
    """Return a cell of a share: ``38.4%``; its value lies between 0 and 1."""
    return Cell(f"{100 * part / whole:.1f}%", part / whole) if whole else Cell(MISSING)


def times(value: float | None) -> Cell:
    """Return a cell of a ratio: ``12.3x``, three significant digits."""
    return Cell(MISSING) if value is None else Cell(f"{significant(value)}x", value)


def large(value: object) -> Cell:
    """Return a cell of a large whole number with its SI prefix: ``11.2 M``."""
    found = number(value)
    if found is None:
        return Cell(MISSING)
    for size, prefix in _PREFIXES:
        if abs(found) >= size:
            return Cell(f"{significant(found / size)} {prefix}", round(found))
    return Cell(f"{found:,.0f}", round(found))


def size(num_bytes: object) -> Cell:
    """Return a cell of a number of bytes with its SI prefix: ``1.24 GB``."""
    found = large(num_bytes)
    return found if found.value is None else Cell(f"{found.text}{_unit(found.text)}", found.value)


def measured(value: object, unit: str) -> Cell:
    """Return a cell of a quantity with its unit, three significant digits."""
    found = number(value)
    return Cell(MISSING) if found is None else Cell(f"{significant(found)} {unit}", found)


def interval(found: Mapping[str, Any] | None, *, sign: bool = False) -> Cell:
    """Return a cell of a mean with its interval: ``0.913 [0.887, 0.939]``.

    Args:
        found: ``{mean, low, high, ...}`` as ``kdray.measure`` gives it; None: no value.
        sign: Show the sign of positive numbers, for differences.
    """
    mean = number(found.get("mean")) if found else None
    if found is None or mean is None:
        return Cell(MISSING)
    low, high = number(found.get("low")), number(found.get("high"))
    style = "+.3f" if sign else ".3f"
    if low is None or high is None:
        return Cell(f"{mean:{style}}", mean)
    return Cell(f"{mean:{style}} [{low:{style}}, {high:{style}}]", mean, low, high)


def p_value(value: object) -> Cell:
    """Return a cell of a p value: three decimals, or ``<0.001``."""
    found = number(value)
    if found is None:
        return Cell(MISSING)
    return Cell("<0.001" if found < 0.001 else f"{found:.3f}", found)


def settings(params: Mapping[str, Any]) -> Cell:
    """Return a cell of settings: ``alpha 0.7, T 4``."""
    shown = (f"{key} {_short(value)}" for key, value in params.items())
    return word(", ".join(shown) or None)


def significant(value: float) -> str:
    """Return ``value`` with three significant digits, never in powers of ten."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 6)}f}"


def _unit(text: str) -> str:
    return "B" if text[-1].isalpha() else " B"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
