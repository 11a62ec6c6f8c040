"""Lines of text that only grow: a file on a disk, numbered segments in an object store."""

from __future__ import annotations

import os

from kdray.errors import StoreError
from kdray.store import Store

#: Objects cannot be appended to: a segment is written again until it is so long, then a new one
#: begins.
SEGMENT_BYTES = 256 * 1024


class Lines:
    """A writer of lines under one name of a store.

    On a local store each line is one append, seen at once. On a remote one lines are kept until
    ``flush``, which writes the current segment whole; each writer begins a segment of its own.

    Args:
        store: Where the lines go.
        name: Name of the file; its segments, if any, are ``<name>.d/00000`` and so on.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._segment = b""
        self._number: int | None = None
        self._waits = False
        self._mended = False

    def append(self, line: str) -> None:
        """Add a line.

        Raises:
            StoreError: The storage refuses.
        """
        data = line.encode() + b"\n"
        if self._store.is_local:
            self._append_here(data)
        else:
            self._segment += data
            self._waits = True

    def flush(self) -> None:
        """Write what waits."""
        if not self._waits:
            return
        if self._number is None:
            self._number = len(self._store.list(f"{self._name}.d"))
        self._store.write(f"{self._name}.d/{self._number:05d}", self._segment)
        self._waits = False
        if len(self._segment) > SEGMENT_BYTES:
            self._number += 1
            self._segment = b""

    def _append_here(self, data: bytes) -> None:
        path = self._store.path(self._name)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                if not self._mended and not _ends_whole(handle):
                    data = b"\n" + data  # a killed writer left half a line
                self._mended = True
                if os.write(handle, data) < len(data):
                    raise OSError("the disk is full")
            finally:
                os.close(handle)
        except OSError as error:
            where = f"{self._store.uri}/{self._name}"
            raise StoreError(where, f"cannot be written: {error}.") from error


def read_lines(store: Store, name: str) -> list[str]:
    """Return the lines under a name, oldest first; the last one may be half written."""
    whole = store.read(name) or b""
    for segment in store.list(f"{name}.d"):
        whole += store.read(f"{name}.d/{segment}") or b""
    return whole.decode(errors="replace").splitlines()


def _ends_whole(handle: int) -> bool:
    size = os.fstat(handle).st_size
    return size == 0 or os.pread(handle, 1, size - 1) == b"\n"
