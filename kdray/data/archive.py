"""Zip of an image folder, read where it is: {split}/{class}/* or {class}/*, nothing is unpacked.

Folders around all images are passed over. Splits are recognised as in ``folder``. Names cannot
lead outside, since nothing is written; an image that unpacks to more than ``max_image_mb`` is
refused before it is read.
"""

from __future__ import annotations

import hashlib
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path, PurePosixPath

from pydantic import Field

from kdray.data._rows import Row
from kdray.data._splits import split_name
from kdray.errors import DataError
from kdray.images import SUFFIXES
from kdray.spec.strict import Many, Strict

#: Settings that say where the images lie, not which they are: the fingerprint stands for them.
PLACE = ("path",)
#: Entries that an archive may have; its directory is held in memory.
MOST_ENTRIES = 2_000_000


class Params(Strict):
    """Which archive, and what of it."""

    path: str = Field(min_length=1)
    """The zip file."""
    root: str = ""
    """Folder in the archive that holds the images; empty: found."""
    subdir: str = "images"
    """Where a class folder has a folder of this name, only the images in it are read."""
    exclude: Many[str] = ("*_mask*", "__MACOSX*", "*.ipynb_checkpoints*")
    """Images left out: patterns of a name, or of a path in the archive."""
    classes: Many[str] | None = None
    """Class folders to read; null: all."""
    max_image_mb: int = Field(64, ge=1)
    """Largest unpacked size of an image, megabytes."""


@dataclass(frozen=True)
class _Entry:
    """An image of the archive: its path below the root, its split, its class folder's place."""

    path: PurePosixPath
    info: zipfile.ZipInfo
    split: str | None = None
    at: int = 0

    @property
    def label(self) -> str:
        return self.path.parts[self.at]


def rows(params: Params) -> Iterator[Row]:
    """Yield the images of the archive, sorted by path.

    Raises:
        DataError: The file is missing or no zip, holds no images, or one that is encrypted or
            too large.
    """
    with _open(params) as file:
        entries = _entries(file, params)
    archive = _Archive(params, entries)
    for entry in entries:
        read = partial(archive.read, entry.info)
        yield Row(str(entry.path), entry.label, read, entry.split)


def fingerprint(params: Params) -> str:
    """Return a hash of the names, sizes and check sums of the archive's images."""
    total = hashlib.sha256()
    with _open(params) as archive:
        for entry in _entries(archive, params):
            total.update(repr((str(entry.path), entry.info.file_size, entry.info.CRC)).encode())
    return total.hexdigest()


def _open(params: Params) -> zipfile.ZipFile:
    path = Path(params.path).expanduser()
    if not path.is_file():
        raise DataError(str(path), "there is no such file.", "Mend data.source.params.path.")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DataError(str(path), f"is no readable zip: {error}.") from error
    if len(archive.filelist) > MOST_ENTRIES:
        raise DataError(str(path), f"has more than {MOST_ENTRIES:,} entries.")
    return archive


class _Archive:
    """A zip that is open from the first of its images that is read to the last."""

    def __init__(self, params: Params, entries: Sequence[_Entry]) -> None:
        self._params = params
        self._unread = {entry.info.filename for entry in entries}
        self._reading = 0
        self._file: zipfile.ZipFile | None = None
        self._lock = threading.Lock()

    def read(self, info: zipfile.ZipInfo) -> bytes:
        """Return an image; after the last one, and for each one read again, the zip is closed."""
        with self._lock:
            file = self._file = self._file or _open(self._params)
            self._unread.discard(info.filename)
            self._reading += 1
        try:
            return _read(file, info)
        finally:
            with self._lock:
                self._reading -= 1
                if not self._unread and not self._reading:
                    file.close()
                    self._file = None


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(info) as file:
            return file.read(info.file_size)  # never more than was checked
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise DataError("image", f"cannot be read from the zip: {error}.") from error


def _entries(archive: zipfile.ZipFile, params: Params) -> list[_Entry]:
    found = _below_root(
        [
            _Entry(PurePosixPath(info.filename), info)
            for info in archive.infolist()
            if info.filename.lower().endswith(SUFFIXES) and not _excluded(info.filename, params)
        ],
        params.root,
    )
    found = _in_subdir(_in_splits([entry for entry in found if len(entry.path.parts) > 1]), params)
    if params.classes is not None:
        found = [entry for entry in found if entry.label in params.classes]
    if not found:
        raise DataError(params.path, "holds no images in {class}/ or {split}/{class}/.")
    for entry in found:
        _check(entry.info, params)
    return sorted(found, key=lambda entry: str(entry.path))


def _excluded(name: str, params: Params) -> bool:
    last = PurePosixPath(name).name
    return any(fnmatch(last, item) or fnmatch(name, item) for item in params.exclude)


def _below_root(entries: Sequence[_Entry], root: str) -> list[_Entry]:
    """Return the entries below ``root``, or else below the folders that are around all of them."""
    if root:
        top = PurePosixPath(root)
        inside = [entry for entry in entries if entry.path.is_relative_to(top)]
        return [replace(entry, path=entry.path.relative_to(top)) for entry in inside]
    found = list(entries)
    while (
        len({entry.path.parts[0] for entry in found}) == 1
        and min(len(entry.path.parts) for entry in found) > 2
        and split_name(found[0].path.parts[0]) is None
    ):
        found = [replace(entry, path=PurePosixPath(*entry.path.parts[1:])) for entry in found]
    return found


def _in_splits(entries: Sequence[_Entry]) -> list[_Entry]:
    """Return the entries with their splits, where top folders are named as splits."""
    inner: dict[str, set[str]] = {}
    for entry in entries:
        inner.setdefault(entry.path.parts[0], set()).update(entry.path.parts[1:-1][:1])
    known = {top: name for top, below in inner.items() if below and (name := split_name(top))}
    if not known:
        return list(entries)
    classes = set().union(*(inner[top] for top in known))
    names = {top: known.get(top, top) for top, below in inner.items() if below & classes}
    return [
        replace(entry, split=names[entry.path.parts[0]], at=1)
        for entry in entries
        if entry.path.parts[0] in names and len(entry.path.parts) > 2
    ]


def _in_subdir(entries: Sequence[_Entry], params: Params) -> list[_Entry]:
    """Return the entries, without those beside a class folder's ``subdir``."""
    having = {(entry.split, entry.label) for entry in entries if _inside(entry, params.subdir)}
    return [
        entry
        for entry in entries
        if (entry.split, entry.label) not in having or _inside(entry, params.subdir)
    ]


def _inside(entry: _Entry, subdir: str) -> bool:
    inner = entry.path.parts[entry.at + 1 : -1]
    return bool(subdir) and inner[:1] == (subdir,)


def _check(info: zipfile.ZipInfo, params: Params) -> None:
    if info.flag_bits & 1:
        raise DataError(f"{params.path}: {info.filename}", "is encrypted.", "Unpack it first.")
    if info.file_size > params.max_image_mb * 2**20:
        raise DataError(
            f"{params.path}: {info.filename}",
            f"unpacks to {info.file_size / 2**20:.0f} MB, more than {params.max_image_mb}.",
            "If it is an image, raise max_image_mb.",
        )
