"""A folder of a file system as storage: files appear by rename."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from kdray.errors import StoreError
from kdray.store._layout import DONE, dumped
from kdray.store._retry import patiently

#: A link that somebody put in the place of a lock file is not followed.
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Files:
    """The files under a folder.

    Args:
        root: The folder; ``~`` is the user's home.
    """

    is_local = True

    def __init__(self, root: str) -> None:
        self.root = str(Path(root).expanduser().absolute())

    def called(self, name: str) -> str:
        """Return what messages call ``name``."""
        return f"{self.root}/{name}" if name else self.root

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file, or None where there is none."""
        try:
            return patiently(Path(self.called(name)).read_bytes, _is_replaced)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(self.called(name), f"cannot be read: {error}.") from error

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write a file whole: under a temporary name, then moved into place."""
        path = self.called(name)
        with self._writing(name):
            temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                with open(temporary, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
            finally:
                Path(temporary).unlink(missing_ok=True)  # of a write that failed

    def replace(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Write ``new`` only if the file still holds ``old``: under a lock file beside it."""
        path = Path(self.called(name))
        with self._writing(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(path.with_name(f".{path.name}.lock"), _LOCK, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # freed when the file closes, or the process dies
            if self.read(name) != old:
                return False
            self.write(name, new)
            return True
        finally:
            os.close(lock)

    def decides(self, name: str) -> bool:
        """Return whether of two writers one wins; a lock file sees to that."""
        return True

    def exists(self, name: str) -> bool:
        """Return whether a file or folder is there."""
        return os.path.exists(self.called(name))

    def names(self, name: str) -> Iterator[str]:
        """Yield the names directly under a folder."""
        try:
            yield from os.listdir(self.called(name))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StoreError(self.called(name), f"cannot be listed: {error}.") from error

    def sizes(self, name: str) -> dict[str, int]:
        """Return the path below ``name`` of each file there, at any depth, with its bytes."""
        base = self.called(name)
        paths = (os.path.join(top, file) for top, _, files in os.walk(base) for file in files)
        found = ((os.path.relpath(path, base), _size(path)) for path in paths)
        return {path: size for path, size in found if size is not None}

    def delete(self, name: str) -> None:
        """Remove a file or a folder with all in it, if it is there."""
        path = Path(self.called(name))
        with self._writing(name):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def space(self, name: str, cache: Path) -> Path:
        """Return where a folder is filled that shall become ``name``: beside it."""
        return Path(self.called(name)).parent

    def take(self, folder: Path, name: str, result: dict[str, Any]) -> None:
        """Let a filled folder and its result appear as ``name``, unless it is there already."""
        with self._writing(name):
            (folder / DONE).write_bytes(dumped(result))
            for path in (*folder.rglob("*"), folder):
                _force(path)  # else a machine that loses power may show the name without the bytes
            move(folder, Path(self.called(name)))

    def fetch(self, name: str, at: str, cache: Path, again: bool) -> Path:
        """Return the path of a finished folder."""
        return Path(self.called(f"{name}/{at}" if at else name))

    def fetch_file(self, name: str, cache: Path) -> Path:
        """Return the path of a file."""
        return Path(self.called(name))

    def _writing(self, name: str) -> AbstractContextManager[None]:
        return writing(Path(self.called(name)))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of what the file system refuses in the block that ``path`` cannot be written."""
    try:
        yield
    except OSError as error:
        raise StoreError(str(path), f"cannot be written: {error}.") from error


def move(folder: Path, target: Path) -> None:
    """Move a finished folder into place unless a finished one is already there."""
    try:
        os.rename(folder, target)
    except OSError:
        if not (target / DONE).exists():
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _is_replaced(error: Exception) -> bool:
    """Return whether a file was replaced on NFS while it was read: the next look finds it."""
    return isinstance(error, OSError) and error.errno == errno.ESTALE


def _force(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:  # removed meanwhile
        return None
