"""Files by URI, local or S3: written whole or not at all; the one seam to storage."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from kdray.errors import StoreError
from kdray.store._client import ARROW_SETTINGS
from kdray.store._files import Files, writing
from kdray.store._layout import AT, DONE, is_place
from kdray.store._objects import Objects

__all__ = ["DONE", "Store"]


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
        self._place: Files | Objects
        parts = urlsplit(uri)
        if parts.scheme in ("", "file"):
            self._place = Files(parts.path if parts.scheme else uri)
            self.uri = self.root  # also right in a worker, which has another current folder
        elif parts.scheme == "s3":
            self._place = Objects(uri)
        else:
            raise StoreError(
                uri, f"no storage is called {parts.scheme!r}.", "Use a path or s3://."
            )

    @property
    def root(self) -> str:
        """The path of the store in its file system, or its bucket and prefix."""
        return self._place.root

    @property
    def is_local(self) -> bool:
        """Whether the files can be opened by path."""
        return self._place.is_local

    def path(self, name: str) -> str:
        """Return the path of ``name`` inside the store's file system."""
        return f"{self.root}/{name}" if name else self.root

    def uri_of(self, name: str) -> str:
        """Return the URI of ``name``, as other libraries take it; a path on a local store.

        On S3 with those settings that Ray, by pyarrow, knows in a URI; keys are not among them.
        """
        if self.is_local:
            return self.path(name)
        base, _, query = self.uri.partition("?")
        known = urlencode([pair for pair in parse_qsl(query) if pair[0] in ARROW_SETTINGS])
        return f"{base.rstrip('/')}/{name}{'?' if known else ''}{known}"

    def called(self, name: str = "") -> str:
        """Return what messages call ``name``: its path or URI, without settings and secrets."""
        return self._place.called(name)

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file, or None where there is none.

        Raises:
            StoreError: The storage refuses or does not answer.
        """
        return self._place.read(name)

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write a file whole: nobody reads a part of it.

        Raises:
            StoreError: The storage refuses or does not answer.
        """
        self._place.write(name, data)

    def read_json(self, name: str) -> Any | None:
        """Return the value of a JSON file, or None where there is none.

        Raises:
            StoreError: The file is damaged, or the storage refuses or does not answer.
        """
        data = self.read(name)
        try:
            return None if data is None else json.loads(data)
        except ValueError as error:
            raise StoreError(self.called(name), f"is damaged: {error}.") from error

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON, whole."""
        self.write(name, json.dumps(value, indent=1, allow_nan=True).encode())

    def replace(self, name: str, old: bytes | None, new: bytes) -> bool:
        """Write ``new`` only if the file still holds ``old``; return whether it did.

        Of writers at the same moment one wins: by a lock file on local storage, on S3 by a write
        on the condition that the object is still the one that was read.

        Args:
            name: The file.
            old: What the caller read; None: there was no file.
            new: What it shall hold.

        Raises:
            StoreError: The storage refuses or does not answer.
        """
        return self._place.replace(name, old, new)

    def decides(self, name: str) -> bool:
        """Return whether of two writers of a file one wins, tried on a new file.

        Args:
            name: A name that nothing has; the file stays.

        Raises:
            StoreError: The storage refuses or does not answer.
        """
        return self._place.decides(name)

    def exists(self, name: str) -> bool:
        """Return whether a file or folder is there."""
        return self._place.exists(name)

    def list(self, name: str = "") -> list[str]:
        """Return the names of the files and folders directly under ``name``, sorted."""
        found = set(self._place.names(name))
        return sorted(base for base in found if not base.startswith(".") and ".tmp" not in base)

    def sizes(self, name: str) -> dict[str, int]:
        """Return the path below ``name`` of each file there, at any depth, with its bytes."""
        return self._place.sizes(name)

    def delete(self, name: str) -> None:
        """Remove a file or a folder with all in it, if it is there."""
        self._place.delete(name)

    def result(self, name: str) -> Any | None:
        """Return the ``result.json`` of a finished folder, or None while it is not finished."""
        found = self.read_json(f"{name}/{DONE}")
        if isinstance(found, dict):
            found.pop(AT, None)
        return found

    def finished(self, name: str) -> dict[str, Any]:
        """Return the ``result.json`` of a finished folder.

        Raises:
            StoreError: The folder is not there, or not finished.
        """
        return {key: value for key, value in self._finished(name).items() if key != AT}

    def read_in(self, name: str, file: str) -> bytes | None:
        """Return the bytes of a file of a finished folder, or None where there is none.

        Args:
            name: The folder.
            file: Its path in there.
        """
        at = self._place_of(name, self.read_json(f"{name}/{DONE}") or {})
        return self.read(f"{name}/{at}/{file}" if at else f"{name}/{file}")

    @contextmanager
    def publish(self, name: str, result: dict[str, Any]) -> Iterator[Path]:
        """Give a folder to fill; on leaving, it and ``result`` appear under ``name`` as a whole.

        A folder that another writer has finished meanwhile is kept, and this one dropped.

        Args:
            name: The folder's name in the store.
            result: The content of ``result.json``; may be filled until the block ends.
        """
        folder = self._place.space(name, self._cache) / f".{uuid.uuid4().hex[:12]}.tmp"
        with writing(folder.parent):
            folder.mkdir(parents=True)
        try:
            yield folder
            self._place.take(folder, name, result)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def fetch(self, name: str, again: bool = False) -> Path:
        """Return a local path of a finished folder; a remote one is copied once.

        Args:
            name: The folder.
            again: Copy a remote one anew: the copy is damaged.

        Raises:
            StoreError: The folder is not there, or not finished.
        """
        at = self._place_of(name, self._finished(name))
        return self._place.fetch(name, at, self._cache, again)

    def fetch_file(self, name: str) -> Path:
        """Return a local path of a file that never changes; a remote one is copied once.

        Raises:
            StoreError: The file is not there.
        """
        return self._place.fetch_file(name, self._cache)

    def _place_of(self, name: str, found: Mapping[str, Any]) -> str:
        """Return the folder that a result names; it must be below its own."""
        at = found.get(AT, "")
        if at and not is_place(at):
            raise StoreError(self.called(f"{name}/{DONE}"), "names files that are not below it.")
        return str(at)

    def _finished(self, name: str) -> dict[str, Any]:
        found = self.read_json(f"{name}/{DONE}")
        if found is None:
            raise StoreError(self.called(name), "there is no finished result of this name.")
        return dict(found)
