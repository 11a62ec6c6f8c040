"""Tables as text for programs and documents: Markdown, CSV, plain dictionaries."""

from __future__ import annotations

import csv
import io
from typing import Any

from kdray.report import cells
from kdray.report.cells import Cell, Column, Table


def markdown(table: Table) -> str:
    """Return a table as GitHub Markdown, its notes below."""
    lines = [
        f"**{_plain(table.title)}**",
        "",
        _row([column.title for column in table.columns]),
        _row(["---:" if column.numeric else "---" for column in table.columns]),
        *(_marked([_full(cell) for cell in row]) for row in table.rows),
        "",
        *(f"- {_plain(note)}" for note in table.notes),
    ]
    return "\n".join(lines).rstrip() + "\n"


def to_csv(table: Table) -> str:
    """Return a table as CSV in full precision; an interval takes three columns."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([name for column in table.columns for name in _csv_names(column)])
    for row in table.rows:
        values: list[Any] = []
        for column, cell in zip(table.columns, row, strict=True):
            values += [cell.value, cell.low, cell.high] if column.interval else [cell.value]
        writer.writerow(values)
    return target.getvalue()


def to_dict(table: Table) -> dict[str, Any]:
    """Return a table as plain data: rows by column key, intervals as mean, low and high."""
    return {
        "title": table.title,
        "rows": [
            {
                column.key: _ends(cell) if column.interval else cell.value
                for column, cell in zip(table.columns, row, strict=True)
            }
            for row in table.rows
        ],
        "notes": list(table.notes),
    }


def _ends(cell: Cell) -> dict[str, Any]:
    ends = {"mean": cell.value, "low": cell.low, "high": cell.high}
    return ends if cell.seeds is None else {**ends, "seeds": list(cell.seeds)}


def _full(cell: Cell) -> str:
    """Return a cell as Markdown: the best value in bold, both intervals."""
    value, _, ends = cell.text.partition(" [") if cell.low is not None else (cell.text, "", "")
    shown = f"**{_plain(value)}**" if cell.best else _plain(value)
    parts = (shown, f"[{ends}" if ends else "", cells.over_seeds(cell))
    return " ".join(part for part in parts if part)


def _csv_names(column: Column) -> list[str]:
    ends = ("", "_low", "_high") if column.interval else ("",)
    return [f"{column.key}{end}" for end in ends]


def _row(texts: list[str]) -> str:
    return _marked([_plain(text) for text in texts])


def _marked(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _plain(text: str) -> str:
    """Escape what Markdown would read as markup in a table cell."""
    for mark in "\\`*_{}<>|":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", " ")
