"""What a driver prints, kept with the job: a cluster's own logs vanish with it."""

from __future__ import annotations

import codecs
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO, cast

from kdray.errors import KdrayError, StoreError
from kdray.store import Store

#: Environment variable that makes a driver keep what it prints; the places set it to 1.
LOG_TO_STORAGE = "KDRAY_LOG_TO_STORAGE"
#: What was printed is written at most so often, seconds.
FLUSH_S = 5.0
#: A file is written again until it is so long, then a new one begins: nothing can be appended to
#: an object.
PIECE_BYTES = 64 * 1024


class Output:
    """A context manager in which all that this process prints also goes to its job's storage.

    It is printed as before. A storage that refuses makes no job fail: what was printed waits until
    it answers. The error that ends the block is written as its last lines.

    Args:
        store: The job's storage.
        job: Name of the job; the text goes to ``jobs/<job>/log/NNNN.txt``.
        flush_s: Seconds between two writes.
    """

    def __init__(self, store: Store, job: str, flush_s: float = FLUSH_S) -> None:
        self._pieces = Pieces(store, job)
        self._flush_s = flush_s
        self._left = threading.Event()
        self._writer = threading.Thread(target=self._write, name="kdray-output", daemon=True)
        self._streams: tuple[Any, Any] = (None, None)

    def __enter__(self) -> Output:
        """Begin to keep what is printed."""
        self._streams = (sys.stdout, sys.stderr)
        sys.stdout, sys.stderr = (
            cast(TextIO, _Copied(one, self._pieces)) for one in self._streams
        )
        self._writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Print as before, and write what is left."""
        sys.stdout, sys.stderr = self._streams
        self._left.set()
        self._writer.join()
        if error is not None:
            self._pieces.add(_last_words(error).encode())
        with suppress(StoreError):
            self._pieces.flush()

    def _write(self) -> None:
        while not self._left.wait(self._flush_s):
            with suppress(StoreError):  # the next round writes it all
                self._pieces.flush()


class Pieces:
    """Text that grows in a storage as files that are each written whole.

    Two drivers of one job write no file of each other.

    Args:
        store: The storage.
        job: Name of the job.
    """

    def __init__(self, store: Store, job: str) -> None:
        self._store = store
        self._folder = _folder(job)
        self._text = bytearray()
        self._written = 0
        self._number: int | None = None
        self._is_mine = False
        self._alone = threading.Lock()

    def add(self, data: bytes) -> None:
        """Add text; any thread may."""
        with self._alone:
            self._text += data

    def flush(self) -> None:
        """Write what is new.

        Raises:
            StoreError: The storage refuses; what was to be written is kept.
        """
        while True:
            with self._alone:
                piece = _cut(self._text)
                is_full = len(piece) < len(self._text) or len(piece) >= PIECE_BYTES
            if len(piece) > self._written:
                self._put(piece)
            self._written = len(piece)
            if not is_full:
                return
            with self._alone:
                del self._text[: len(piece)]
            self._written, self._is_mine = 0, False

    def _put(self, piece: bytes) -> None:
        """Write the current file, at first under a name that nothing has."""
        if self._number is None:
            self._number = max(_numbers(self._store, self._folder), default=-1)
        while not self._is_mine:
            self._is_mine = self._store.replace(self._name(self._number + 1), None, piece)
            self._number += 1
            if self._is_mine:
                return
        self._store.write(self._name(self._number), piece)

    def _name(self, number: int) -> str:
        return f"{self._folder}/{number:04d}.txt"


def stored_log(store: Store, job: str) -> Iterator[str]:
    """Yield what the drivers of a job have printed so far, the earliest first.

    Args:
        store: The job's storage.
        job: Name of the job.

    Raises:
        StoreError: The storage refuses or does not answer.
    """
    yield from growing_log(store, job)()


def growing_log(store: Store, job: str) -> Callable[[], Iterator[str]]:
    """Return a function that yields what has been added to a job's log since it was last called.

    Args:
        store: The job's storage.
        job: Name of the job.
    """
    folder, at, seen = _folder(job), -1, 0
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a letter may be cut

    def new() -> Iterator[str]:
        nonlocal at, seen
        for number in _numbers(store, folder):
            if number < at:
                continue
            data = store.read(f"{folder}/{number:04d}.txt") or b""
            added = data[seen:] if number == at else data
            at, seen = number, len(data)
            text = decoder.decode(added)
            if text:
                yield text

    return new


class _Copied:
    """A stream of text that is written to the pieces as well.

    Args:
        stream: Where it is printed.
        pieces: Take what is printed.
    """

    def __init__(self, stream: Any, pieces: Pieces) -> None:
        self._stream = stream
        self._pieces = pieces

    def write(self, text: str) -> int:
        """Print a text, and keep it."""
        count = int(self._stream.write(text))
        self._pieces.add(text.encode(errors="replace"))
        return count

    def writelines(self, lines: Iterable[str]) -> None:
        """Print lines, and keep them."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _last_words(error: BaseException) -> str:
    """Return what the command line will say of an error once the block is left."""
    if isinstance(error, KdrayError):
        return "".join(f"error {line}\n" for line in str(error).splitlines())
    if isinstance(error, SystemExit):
        return ""
    if isinstance(error, KeyboardInterrupt):
        return "Stopped.\n"
    return "".join(traceback.format_exception(error))


def _cut(text: bytearray) -> bytes:
    """Return as much of a text as a file holds, whole lines where there are any."""
    if len(text) <= PIECE_BYTES:
        return bytes(text)
    end = text.rfind(b"\n", 0, PIECE_BYTES) + 1
    return bytes(text[: end or PIECE_BYTES])


def _numbers(store: Store, folder: str) -> list[int]:
    names: Any = (name.removesuffix(".txt") for name in store.list(folder))
    return sorted(int(name) for name in names if name.isdigit())


def _folder(job: str) -> str:
    return f"jobs/{job}/log"
