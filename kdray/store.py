"""Files by URI, local or S3: written whole or not at all; the one seam to storage."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow.fs as pafs

from kdray.errors import StoreError

#: The file that makes a folder a finished result; written last.
DONE = "result.json"


class Store:
    """A folder of results under a URI.

    Args:
        uri: A path, ``file://...`` or ``s3://bucket/prefix?endpoint_override=...``.
        cache: Where remote folders are kept for reading; None: ``~/.cache/kdray``.

    Raises:
        StoreError: The URI names a storage that is not known.
    """

    def __init__(self, uri: str, cache: str | None = None) -> None:
        self.uri = uri
        self._cache = Path(cache or Path.home() / ".cache" / "kdray")
        parts = urlsplit(uri)
        if parts.scheme in ("", "file"):
            self.root = str(Path(parts.path if parts.scheme else uri).expanduser().absolute())
            self.uri = self.root  # also right in a worker, which has another current folder
            self._fs: Any = pafs.LocalFileSystem()
        elif parts.scheme == "s3":
            self.root = f"{parts.netloc}{parts.path}".rstrip("/")
            self._fs = pafs.S3FileSystem(**dict(parse_qsl(parts.query)))
        else:
            raise StoreError(
                uri, f"no storage is called {parts.scheme!r}.", "Use a path or s3://."
            )

    @property
    def is_local(self) -> bool:
        """Whether the files can be opened by path."""
        return isinstance(self._fs, pafs.LocalFileSystem)

    def path(self, name: str) -> str:
        """Return the path of ``name`` inside the store's file system."""
        return f"{self.root}/{name}" if name else self.root

    def uri_of(self, name: str) -> str:
        """Return the URI of ``name``, as other libraries take it; a path on a local store."""
        base, mark, query = self.uri.partition("?")
        return self.path(name) if self.is_local else f"{base.rstrip('/')}/{name}{mark}{query}"

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file, or None where there is none."""
        try:
            with self._fs.open_input_stream(self.path(name)) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.uri}/{name}", f"cannot be read: {error}.") from error

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write a file whole: under a temporary name, then moved into place.

        Raises:
            StoreError: The storage refuses.
        """
        path = self.path(name)
        try:
            if not self.is_local:  # an object appears when its upload is complete
                with self._fs.open_output_stream(path) as stream:
                    stream.write(data)
                return
            temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            raise StoreError(f"{self.uri}/{name}", f"cannot be written: {error}.") from error

    def read_json(self, name: str) -> Any | None:
        """Return the value of a JSON file, or None where there is none."""
        data = self.read(name)
        return None if data is None else json.loads(data)

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON, whole."""
        self.write(name, json.dumps(value, indent=1, allow_nan=True).encode())

    def replace(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Write ``new`` only if the file still holds ``old``; return whether it did.

        On local storage a lock file beside it makes reading and writing one act. On S3 the two are
        separate requests: a writer in between is not noticed.

        Args:
            name: The file.
            old: What the caller read; None: there was no file.
            new: What it shall hold.
        """
        with self._locked(name):
            if self.read(name) != old:
                return False
            self.write(name, new)
            return True

    def exists(self, name: str) -> bool:
        """Return whether a file or folder is there."""
        kind = self._fs.get_file_info(self.path(name)).type
        return bool(kind != pafs.FileType.NotFound)

    def list(self, name: str = "") -> list[str]:
        """Return the names of the files and folders directly under ``name``, sorted."""
        selector = pafs.FileSelector(self.path(name), allow_not_found=True)
        found = [info.base_name for info in self._fs.get_file_info(selector)]
        return sorted(base for base in found if not base.startswith(".") and ".tmp" not in base)

    def sizes(self, name: str) -> dict[str, int]:
        """Return the path below ``name`` of each file there, at any depth, with its bytes."""
        selector = pafs.FileSelector(self.path(name), allow_not_found=True, recursive=True)
        return {
            info.path.removeprefix(f"{self.path(name)}/"): info.size
            for info in self._fs.get_file_info(selector)
            if info.type == pafs.FileType.File
        }

    def delete(self, name: str) -> None:
        """Remove a file or a folder with all in it, if it is there."""
        info = self._fs.get_file_info(self.path(name))
        if info.type == pafs.FileType.Directory:
            self._fs.delete_dir(info.path)
        elif info.type == pafs.FileType.File:
            self._fs.delete_file(info.path)

    def result(self, name: str) -> Any | None:
        """Return the ``result.json`` of a finished folder, or None while it is not finished."""
        return self.read_json(f"{name}/{DONE}")

    def finished(self, name: str) -> dict[str, Any]:
        """Return the ``result.json`` of a finished folder.

        Raises:
            StoreError: The folder is not there, or not finished.
        """
        found = self.result(name)
        if found is None:
            raise StoreError(f"{self.uri}/{name}", "there is no finished result of this name.")
        return dict(found)

    @contextmanager
    def publish(self, name: str, result: Any) -> Iterator[Path]:
        """Give a folder to fill; on leaving, it and ``result`` appear under ``name`` as a whole.

        A folder that another writer has finished meanwhile is kept, and this one dropped.

        Args:
            name: The folder's name in the store.
            result: A value for ``result.json``; may be filled until the block ends.
        """
        base = Path(self.path(name)).parent if self.is_local else self._cache / "out"
        folder = base / f".{uuid.uuid4().hex[:12]}.tmp"
        folder.mkdir(parents=True)
        try:
            yield folder
            (folder / DONE).write_text(json.dumps(result, indent=1))
            self._move_in(folder, name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def fetch(self, name: str) -> Path:
        """Return a local path of a finished folder; a remote one is copied once.

        Raises:
            StoreError: The folder is not there, or not finished.
        """
        if self.result(name) is None:
            raise StoreError(f"{self.uri}/{name}", "there is no finished result of this name.")
        if self.is_local:
            return Path(self.path(name))
        target = self._cache / "in" / self.path(name)
        if not (target / DONE).exists():
            temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
            temporary.mkdir(parents=True)
            pafs.copy_files(
                self.path(name),
                str(temporary),
                source_filesystem=self._fs,
                destination_filesystem=pafs.LocalFileSystem(),
            )
            _rename(temporary, target)
        return target

    def fetch_file(self, name: str) -> Path:
        """Return a local path of a file that never changes; a remote one is copied once.

        Raises:
            StoreError: The file is not there.
        """
        if self.is_local:
            return Path(self.path(name))
        target = self._cache / "in" / self.path(name).lstrip("/")
        if not target.exists():
            data = self.read(name)
            if data is None:
                raise StoreError(f"{self.uri}/{name}", "there is no such file.")
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
            temporary.write_bytes(data)
            os.replace(temporary, target)
        return target

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        if not self.is_local:
            yield
            return
        path = Path(self.path(name))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path.with_name(f".{path.name}.lock"), "w")
        except OSError as error:
            raise StoreError(f"{self.uri}/{name}", f"cannot be written: {error}.") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)  # freed when the file closes, or the process dies
            yield

    def _move_in(self, folder: Path, name: str) -> None:
        if self.is_local:
            _rename(folder, Path(self.path(name)))
            return
        if self.result(name) is not None:
            return
        done = (folder / DONE).read_bytes()
        (folder / DONE).unlink()
        pafs.copy_files(
            str(folder),
            self.path(name),
            source_filesystem=pafs.LocalFileSystem(),
            destination_filesystem=self._fs,
        )
        self.write(f"{name}/{DONE}", done)  # last: a reader sees all of it or nothing


def _rename(folder: Path, target: Path) -> None:
    """Move a finished folder into place unless a finished one is already there."""
    try:
        os.rename(folder, target)
    except OSError:
        if not (target / DONE).exists():
            raise
        shutil.rmtree(folder, ignore_errors=True)
