"""Recorded columns for a training step: mapped from disk, gathered row by row."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from kdray.errors import StoreError
from kdray.knowledge.names import PART, Column, Places, file_of, missing, num_parts, signature
from kdray.knowledge.writer import ABOUT, FIELD, Values
from kdray.store import Store

#: Rows of more bytes are converted one by one while they are copied; smaller ones together.
_LARGE = 1 << 16
_STORED = {"float16": torch.float16, "float32": torch.float32, "bool": torch.uint8}


class Knowledge:
    """Columns of one teacher for a pool and so many views; nothing is read before it is needed.

    The files are mapped: all processes of a node share one copy in memory. Remote ones are copied
    once to the node's cache.

    Args:
        store: The storage.
        key: Names the record.
        columns: What is needed.
        places: The places of the pool, ascending.
        views: How many views.

    Raises:
        StoreError: A file is not there.
    """

    def __init__(
        self, store: Store, key: str, columns: Sequence[Column], places: Places, views: int
    ) -> None:
        self.columns = tuple(columns)
        self._store = store
        self._key = key
        self._places = places
        self._parts = num_parts(len(places))
        self._views = views
        self._row_of = np.full(int(places[-1]) + 1, -1, dtype=np.int64)
        self._row_of[places] = np.arange(len(places))
        absent = missing(store, key, columns, views, len(places))
        if absent:
            view, part = absent[0]
            raise StoreError(
                f"record {key}", f"view {view}, part {part} is not recorded.", "Run the job again."
            )
        self._pages: dict[str, dict[int, Values]] = {column.name: {} for column in columns}
        if not store.is_local:
            self._fetch()

    def gather(self, places: Places, views: Places, device: str = "cpu") -> dict[str, Tensor]:
        """Return each column of some views, ``[B, *shape]``: float32 or booleans.

        Args:
            places: Place of each image ``[B]``.
            views: Number of each image's view ``[B]``.
            device: Where to.

        Raises:
            StoreError: A file is not what its name says, or a place is not recorded.
        """
        try:
            rows = self._row_of[places]
        except IndexError:
            rows = np.full(1, -1)
        if min(rows.tolist(), default=0) < 0 or max(views.tolist(), default=0) >= self._views:
            raise StoreError(f"record {self._key}", "it holds no such place or view.")
        parts, inside = np.divmod(rows, PART)
        pages = (views * self._parts + parts).tolist()
        spots = list(zip(pages, inside.tolist(), strict=True))
        return {
            column.name: self._column(column, set(pages), spots, device) for column in self.columns
        }

    def _column(
        self, column: Column, pages: set[int], spots: list[tuple[int, int]], device: str
    ) -> Tensor:
        held = self._pages[column.name]
        for page in pages:
            if page not in held:
                held[page] = self._open(column, *divmod(page, self._parts))
        rows = [held[page][row] for page, row in spots]
        if column.dtype == "bool":
            return _bits(column, rows).to(device)
        if column.image_bytes < _LARGE or device != "cpu":
            return _together(column, rows, device)
        return _one_by_one(column, rows)

    def _open(self, column: Column, view: int, part: int) -> Values:
        """Return a file's values ``[n, width]``, mapped.

        Raises:
            StoreError: The file says something else of itself than it should.
        """
        places = self._places[part * PART : (part + 1) * PART]
        name = file_of(self._key, column, view, part)
        path = self._store.fetch_file(name)
        wanted = signature(self._key, column, view, part, places)
        try:
            values, about = _mapped(path, column)
        except (OSError, RuntimeError, KeyError, ValueError, pa.ArrowException) as error:
            if "Cannot allocate memory" in str(error):
                problem = "cannot be mapped: this process maps too many files."
                raise StoreError(name, problem, "Raise vm.max_map_count.") from error
            raise StoreError(name, f"is no record: {error}.", _REMEDY) from error
        if about != wanted or len(values) != len(places):
            differs = ", ".join(key for key in wanted if about.get(key) != wanted[key])
            raise StoreError(name, f"is a record of another {differs or 'length'}.", _REMEDY)
        return values

    def _fetch(self) -> None:
        spots = [divmod(page, self._parts) for page in range(self._views * self._parts)]
        names = [file_of(self._key, column, *spot) for column in self.columns for spot in spots]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._store.fetch_file, names))


_REMEDY = "Delete it and run the job again."


def _mapped(path: Path, column: Column) -> tuple[Values, dict[str, object]]:
    """Return the values ``[n, width]`` of a file and what it says of itself; nothing is copied."""
    # torch maps privately: pages are shared until written, and no file descriptor stays open.
    whole = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
    table = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(whole.numpy()))).read_all()
    about = json.loads(table.schema.metadata[ABOUT.encode()])
    chunk = table[FIELD].chunk(0)
    buffer = chunk.values.buffers()[1]
    start = buffer.address - whole.data_ptr()
    dtype = _STORED[column.dtype]
    end = start + len(chunk) * column.width * dtype.itemsize
    return whole[start:end].view(dtype).view(len(chunk), column.width).numpy(), about


def _bits(column: Column, rows: Sequence[Values]) -> Tensor:
    stored = np.concatenate(rows).reshape(len(rows), column.width)
    bits = np.unpackbits(stored, axis=1, count=math.prod(column.shape))
    return _shaped(column, torch.from_numpy(bits.view(np.bool_)))


def _together(column: Column, rows: Sequence[Values], device: str) -> Tensor:
    """Return rows copied as they are, then converted where they are needed."""
    if device == "cpu":
        return _shaped(column, torch.from_numpy(np.concatenate(rows)).float())
    out = torch.empty(
        len(rows) * column.width, dtype=_STORED[column.dtype], pin_memory=device.startswith("cuda")
    )
    np.concatenate(rows, out=out.numpy())
    return _shaped(column, out.to(device, non_blocking=True).float())


def _one_by_one(column: Column, rows: Sequence[Values]) -> Tensor:
    """Return rows converted while they are copied: they pass through memory once."""
    out = torch.empty(len(rows), column.width)
    for into, row in zip(out, rows, strict=True):
        into.copy_(torch.from_numpy(row))
    return _shaped(column, out)


def _shaped(column: Column, values: Tensor) -> Tensor:
    """Return stored values ``[B, ...]`` as ``[B, *shape]``; maps stay channels last in memory."""
    if not column.is_map:
        return values.view(-1, *column.shape)
    depth, height, width = column.shape
    return values.view(-1, height, width, depth).permute(0, 3, 1, 2)
