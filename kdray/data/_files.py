"""Rows whose images are files, and a cheap fingerprint of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdray.data._rows import Row
from kdray.errors import DataError
from kdray.images import decode_mask

_HEAD = 64 * 1024


@dataclass(frozen=True)
class FileRow:
    """A row whose image, and mask if it has one, is a file; see ``Row``."""

    id: str
    label: str
    path: Path
    split: str | None = None
    group: str | None = None
    mask: Path | None = None

    def row(self) -> Row:
        """Return the row that reads the files."""
        mask = None if self.mask is None else self._mask
        return Row(self.id, self.label, self.path.read_bytes, self.split, self.group, mask)

    def _mask(self) -> NDArray[np.bool_]:
        if self.mask is None:
            raise DataError(self.id, "has no mask.")
        return decode_mask(self.mask.read_bytes())


def file_fingerprint(files: Iterable[FileRow]) -> str:
    """Return a hash of names, facts, sizes and the first 64 KiB of every file.

    It does not depend on the folder that the files lie in. A missing file counts as such.
    """
    total = hashlib.sha256()
    for file in files:
        facts = (file.id, file.label, file.split, file.group)
        total.update(repr(facts).encode())
        for path in (file.path, file.mask):
            total.update(head(path))
    return total.hexdigest()


def head(path: Path | None) -> bytes:
    """Return a file's size and first 64 KiB; ``absent`` where there is none, ``-`` for None."""
    if path is None:
        return b"-"
    try:
        with path.open("rb") as file:
            return f"{path.stat().st_size}:".encode() + file.read(_HEAD)
    except OSError:
        return b"absent"
