"""Data sets: a source a file; shared below, from rows to memory-mapped images and views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdray.data._dataset import Dataset, DatasetInfo
from kdray.data._pool import Pool, training_pool
from kdray.data._prepare import fingerprint, prepare
from kdray.data._rows import Row

if TYPE_CHECKING:
    from kdray.data._views import Views

__all__ = [
    "Dataset",
    "DatasetInfo",
    "Pool",
    "Row",
    "Views",
    "fingerprint",
    "prepare",
    "training_pool",
]


def __getattr__(name: str) -> type[Views]:
    # Views alone needs torch, which takes seconds to import; preparing does not need it.
    if name == "Views":
        from kdray.data._views import Views

        return Views
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
