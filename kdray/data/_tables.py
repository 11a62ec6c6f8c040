"""Columns of text from a CSV or Parquet file."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from kdray.errors import DataError


def read_columns(
    file: Path, required: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, list[str | None]]:
    """Return columns of a table as text; an empty cell is None, and so is an absent column's.

    Args:
        file: A ``.parquet`` file, or a CSV with a header.
        required: Columns that must be there.
        optional: Columns that may be there.

    Returns:
        Column name -> cells, each column equally long.

    Raises:
        DataError: The file cannot be read, or lacks a required column.
    """
    try:
        table = _read(file, [*required, *optional])
    except (OSError, pa.ArrowException) as error:
        raise DataError(str(file), f"cannot be read as a table: {error}.") from error
    for name in required:
        if name not in table.column_names:
            raise DataError(
                str(file), f"has no column {name!r}.", _nearest(name, table.column_names)
            )
    return {
        name: _texts(table[name]) if name in table.column_names else [None] * table.num_rows
        for name in (*required, *optional)
    }


def _read(file: Path, columns: Sequence[str]) -> pa.Table:
    if file.suffix.lower() == ".parquet":
        return pa.parquet.read_table(file)
    # As text: "007" stays "007"; only an empty cell is empty, "NA" may be the name of a class.
    options = pa.csv.ConvertOptions(
        column_types={name: pa.string() for name in columns},
        strings_can_be_null=True,
        null_values=[""],
    )
    return pa.csv.read_csv(file, convert_options=options)


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    return [None if value is None or value == "" else str(value) for value in column.to_pylist()]


def _nearest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"It has: {', '.join(names)}."
