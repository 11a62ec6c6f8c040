"""Columns to Arrow files, each written whole."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdray.errors import RunError
from kdray.knowledge.names import Column, Places, file_of, signature
from kdray.store import Store

#: Name of the one field of a file, and of what its schema says of it.
FIELD, ABOUT = "value", "kdray"
Values = NDArray[Any]


def packed(column: Column, values: Tensor) -> Values:
    """Return values ``[n, *shape]`` as they are stored, ``[n, width]``; maps channels last.

    Raises:
        RunError: A number is not finite in the column's type.
    """
    flat = _channels_last(column, values.detach()).flatten(1)
    if column.dtype == "bool":
        return np.packbits(flat.cpu().numpy(), axis=1)
    flat = flat.to(getattr(torch, column.dtype))
    if not bool(torch.isfinite(flat).all()):
        small = column.dtype == "float16"
        remedy = "Use knowledge.dtype float32." if small else "Pretrain the teacher again."
        raise RunError(
            f"record of {column.name}", f"a number is not finite in {column.dtype}.", remedy
        )
    return flat.cpu().numpy()


def _channels_last(column: Column, values: Tensor) -> Tensor:
    """Return maps in the order in which students mostly have theirs, others as they are."""
    return values.permute(0, 2, 3, 1) if column.is_map else values


def write_part(  # noqa: PLR0913 - what names a file, and what it holds
    store: Store,
    key: str,
    column: Column,
    view: int,
    part: int,
    places: Places,
    values: Values,
) -> int:
    """Write one file and return its bytes.

    Args:
        store: The storage.
        key: Names the record.
        column: The column.
        view: Number of the view.
        part: Number of the part.
        places: The part's places ``[n]``, ascending.
        values: What ``packed`` returned, ``[n, width]``.
    """
    numbers = pa.array(np.ascontiguousarray(values).reshape(-1))
    rows = pa.FixedSizeListArray.from_arrays(numbers, column.width)
    about = json.dumps(signature(key, column, view, part, places))
    schema = pa.schema([pa.field(FIELD, rows.type)], metadata={ABOUT: about})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as file:
        file.write_batch(pa.record_batch([rows], schema=schema))
    data = memoryview(sink.getvalue())
    store.write(file_of(key, column, view, part), data)
    return len(data)
