"""What is recorded of a teacher, and what its files are called; needs no torch."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kdray.spec.experiment import Augment, Train
from kdray.store import Store

Places = NDArray[np.int64]
Number = Literal["float16", "float32", "bool"]

#: Of the files; raised together with ``CODE``.
FORMAT = 1
#: Raised when equal settings give other numbers than before, together with that of the step
#: ``record`` in ``kdray.plan.keys``: a finished step goes on naming what it recorded.
CODE = 1
#: Places in one file, and in one forward pass of the teacher: a multiple of it.
PART, BATCH = 256, 32
#: Columns of fewer numbers an image than this are float32: halving them saves nothing.
SMALL = 64
#: The folder of all records in a storage.
ROOT = "knowledge"


@dataclass(frozen=True, order=True)
class Column:
    """One tensor of a look, as it is recorded.

    Args:
        name: ``logits``, ``map/NAME``, ``head/NAME``, ``attention/BLOCK`` or ``dense``.
        shape: Of one image.
        dtype: Of the numbers on disk; booleans are packed as bits.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Number

    @property
    def width(self) -> int:
        """Stored elements an image: numbers, or bytes of bits."""
        numbers = math.prod(self.shape)
        return -(-numbers // 8) if self.dtype == "bool" else numbers

    @property
    def is_map(self) -> bool:
        """Whether it is ``[D, h, w]``, and stored as ``[h, w, D]``."""
        return len(self.shape) == 3

    @property
    def image_bytes(self) -> int:
        """Bytes an image and view."""
        return self.width * {"float16": 2, "float32": 4, "bool": 1}[self.dtype]

    @property
    def slug(self) -> str:
        """The name of its folder."""
        return f"{re.sub('[^A-Za-z0-9.=-]', '-', self.name)}-{self.dtype}"


def columns_in(result: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the columns that the result of a step ``record`` tells of."""
    return tuple(
        Column(name, tuple(item["shape"]), item["dtype"])
        for name, item in result["columns"].items()
    )


def record_key(teacher: str, dataset: str, augment: Augment, seed: int, train: Train) -> str:
    """Return what names all that is recorded of a teacher, 16 hexadecimal digits.

    Neither the number of views nor the methods are part of it: more of either add files.

    Args:
        teacher: Names the teacher's weights.
        dataset: Key of the data set.
        augment: What the views are made by.
        seed: Seed of the views.
        train: How students learn: which images, and what SMOTE makes of them.
    """
    content = {
        "format": FORMAT,
        "code": CODE,
        "teacher": teacher,
        "dataset": dataset,
        "augment": augment.model_dump(mode="json"),
        "seed": seed,
        "pool": train.model_dump(mode="json", include={"per_class", "balance", "subset_seed"}),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def folder_of(key: str) -> str:
    """Return the folder of a record in its storage."""
    return f"{ROOT}/{key}"


def file_of(key: str, column: Column, view: int, part: int) -> str:
    """Return the name of the file of a column's view and part in its storage."""
    return f"{folder_of(key)}/{column.slug}/{_file(view, part)}"


def num_parts(num_places: int) -> int:
    """Return how many parts hold so many places."""
    return -(-num_places // PART)


def missing(
    store: Store, key: str, columns: Iterable[Column], views: int, num_places: int
) -> list[tuple[int, int]]:
    """Return the (view, part) of which a column has no file yet, in order.

    Args:
        store: The storage.
        key: Names the record.
        columns: What is to be recorded.
        views: How many views.
        num_places: How many places the pool has.
    """
    spots = [(view, part) for view in range(views) for part in range(num_parts(num_places))]
    found = [set(store.list(f"{folder_of(key)}/{column.slug}")) for column in columns]
    return [spot for spot in spots if any(_file(*spot) not in names for names in found)]


def in_words(size: float) -> str:
    """Return bytes in words: ``2.3 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def signature(key: str, column: Column, view: int, part: int, places: Places) -> dict[str, Any]:
    """Return what a file says of itself; a reader refuses one that says something else.

    Args:
        key: Names the record.
        column: The column.
        view: Number of the view.
        part: Number of the part.
        places: The part's places ``[n]``.
    """
    listed = np.ascontiguousarray(places, dtype="<i8").tobytes()
    return {
        "format": FORMAT,
        "key": key,
        "column": column.name,
        "shape": list(column.shape),
        "dtype": column.dtype,
        "view": view,
        "part": part,
        "places": hashlib.sha256(listed).hexdigest()[:16],
    }


def _file(view: int, part: int) -> str:
    return f"v{view:04d}-p{part:04d}.arrow"
