"""CSV or Parquet table: a row an image, with columns for path, label, split, group and mask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from kdray.data._files import FileRow, file_fingerprint
from kdray.data._rows import Row
from kdray.data._splits import split_name
from kdray.data._tables import read_columns
from kdray.errors import DataError
from kdray.spec.strict import Strict

#: Settings that say where the images lie, not which they are: the fingerprint stands for them.
PLACE = ("file", "root")


class Params(Strict):
    """The table, and what its columns are called."""

    file: str = Field(min_length=1)
    """The table: .parquet, or a CSV with a header."""
    root: str | None = None
    """The folder that paths in the table start from; null: the folder of the table."""
    path: str = "path"
    """Column of the image files."""
    suffix: str = ""
    """Added to each path, where the column leaves out the ending: `.jpg`."""
    label: str = "label"
    """Column of the class names."""
    split: str | None = None
    """Column of the splits (an empty cell: kdray divides); null: `split` where it is there."""
    group: str | None = None
    """Column of what stays together, such as the patient; null: `group` where it is there."""
    mask: str | None = None
    """Column of the lesion masks' files; null: `mask` where it is there."""


def rows(params: Params) -> Iterator[Row]:
    """Yield the images of the table, in its order.

    Raises:
        DataError: The table is missing, lacks a column, or a cell that must not be empty is.
    """
    for file in _files(params):
        yield file.row()


def fingerprint(params: Params) -> str:
    """Return a hash of the cells, and of sizes and the first 64 KiB of every file."""
    return file_fingerprint(_files(params))


def _files(params: Params) -> list[FileRow]:
    file = Path(params.file).expanduser()
    root = file.parent if params.root is None else Path(params.root).expanduser()
    columns = _columns(file, params)
    found: list[FileRow] = []
    cells = zip(
        *(columns[name] for name in ("path", "label", "split", "group", "mask")), strict=True
    )
    for number, (path, label, split, group, mask) in enumerate(cells, start=1):
        if path is None or label is None:
            empty = params.path if path is None else params.label
            raise DataError(
                str(file), f"row {number} has no {empty}.", "Fill it in or drop the row."
            )
        found.append(
            FileRow(
                id=path,
                label=label,
                path=root / f"{path}{params.suffix}",
                split=None if split is None else split_name(split) or split,
                group=group,
                mask=root / mask if mask else None,
            )
        )
    if not found:
        raise DataError(str(file), "has no rows.")
    return found


def _columns(file: Path, params: Params) -> dict[str, list[str | None]]:
    """Return the columns under the words of kdray, whatever the table calls them."""
    called = {"path": params.path, "label": params.label}
    named = {key: getattr(params, key) for key in ("split", "group", "mask")}
    called |= {key: name or key for key, name in named.items()}
    required = [params.path, params.label, *(name for name in named.values() if name)]
    optional = [key for key, name in named.items() if name is None]
    cells = read_columns(file, required, optional)
    return {key: cells[name] for key, name in called.items()}
