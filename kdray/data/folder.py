"""Image folder: {split}/{class}/* or {class}/*, with groups and masks from an optional CSV.

Recognised as splits, in any case: Train, Training; Val, Valid, Validation; Test, Testing. Any
other top folder that holds folders of the same classes (``shifted``, say) is one more split to
evaluate on, by its own name. Folders inside a class folder are read too, unless it has one called
``subdir``: then only that one is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

from pydantic import Field

from kdray.data._files import FileRow, file_fingerprint
from kdray.data._rows import Row
from kdray.data._splits import split_name
from kdray.data._tables import read_columns
from kdray.errors import DataError
from kdray.images import SUFFIXES
from kdray.spec.strict import Many, Strict

#: Settings that say where the images lie, not which they are: the fingerprint stands for them.
PLACE = ("path",)


class Params(Strict):
    """Where the images lie and which of them count."""

    path: str = Field(min_length=1)
    """The folder; a relative one is looked up from the working folder."""
    splits: dict[str, str] | None = None
    """Folder name -> split: exactly these top folders are read; null: recognised by name."""
    subdir: str = "images"
    """Where a class folder has a folder of this name, only the images in it are read."""
    exclude: Many[str] = ("*_mask*", ".ipynb_checkpoints")
    """Files and folders left out: patterns of a name, or of a path under the folder."""
    classes: Many[str] | None = None
    """Class folders to read; null: all."""
    index: str | None = None
    """CSV in the folder with a column `path`, and `group` or `mask` (a file) or both; null:
    index.csv where it is there."""


def rows(params: Params) -> Iterator[Row]:
    """Yield the images of the folder, sorted by path.

    Raises:
        DataError: The folder or the index is missing, or holds no images.
    """
    for file in files(params):
        yield file.row()


def fingerprint(params: Params) -> str:
    """Return a hash of names, sizes and the first 64 KiB of every file."""
    return file_fingerprint(files(params))


def files(params: Params) -> list[FileRow]:
    """Return the image files of the folder, sorted by path; see ``rows``."""
    root = Path(params.path).expanduser()
    if not root.is_dir():
        raise DataError(str(root), "there is no such folder.", "Mend data.source.params.path.")
    found: list[FileRow] = []
    for split, folder in _split_folders(root, params):
        for label in _classes(folder, root, params):
            for path in _images(folder / label, root, params):
                name = path.relative_to(root).as_posix()
                found.append(FileRow(name, label, path, split))
    if not found:
        raise DataError(
            str(root),
            f"holds no images ({' '.join(SUFFIXES)}) in {{class}}/ or {{split}}/{{class}}/.",
        )
    return _indexed(sorted(found, key=lambda file: file.id), root, params)


def _split_folders(root: Path, params: Params) -> list[tuple[str | None, Path]]:
    if params.splits is not None:
        for name in params.splits:
            if not (root / name).is_dir():
                raise DataError(str(root / name), "there is no such folder.", "Mend `splits`.")
        return [(split, root / name) for name, split in params.splits.items()]
    tops = [root / name for name in _subfolders(root, root, params)]
    known = {
        top: split
        for top in tops
        if (split := split_name(top.name)) and _classes(top, root, params)
    }
    if not known:
        return [(None, root)]
    classes = {label for top in known for label in _classes(top, root, params)}
    extra = [
        top for top in tops if top not in known and classes & set(_classes(top, root, params))
    ]
    return [*((split, top) for top, split in known.items()), *((top.name, top) for top in extra)]


def _classes(folder: Path, root: Path, params: Params) -> list[str]:
    names = _subfolders(folder, root, params)
    return names if params.classes is None else [name for name in names if name in params.classes]


def _subfolders(folder: Path, root: Path, params: Params) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.is_dir() and not _excluded(Path(entry.path), root, params)
        )


def _images(folder: Path, root: Path, params: Params) -> Iterator[Path]:
    inner = folder / params.subdir
    for base, folders, names in os.walk(inner if params.subdir and inner.is_dir() else folder):
        folders[:] = [name for name in folders if not _excluded(Path(base, name), root, params)]
        for name in names:
            path = Path(base, name)
            if path.suffix.lower() in SUFFIXES and not _excluded(path, root, params):
                yield path


def _excluded(path: Path, root: Path, params: Params) -> bool:
    below = path.relative_to(root).as_posix()
    return any(fnmatch(path.name, item) or fnmatch(below, item) for item in params.exclude)


def _indexed(files: list[FileRow], root: Path, params: Params) -> list[FileRow]:
    name = params.index or ("index.csv" if (root / "index.csv").is_file() else None)
    if name is None:
        return files
    columns = read_columns(root / name, ["path"], ["group", "mask"])
    facts = dict(
        zip(columns["path"], zip(columns["group"], columns["mask"], strict=True), strict=True)
    )
    if not any(file.id in facts for file in files):
        raise DataError(
            str(root / name),
            "names none of the images of the folder.",
            "Its column `path` holds paths under the folder, such as train/class/name.png.",
        )
    return [_with_facts(file, root, facts) for file in files]


def _with_facts(
    file: FileRow, root: Path, facts: Mapping[str | None, tuple[str | None, str | None]]
) -> FileRow:
    group, mask = facts.get(file.id, (None, None))
    path = root / mask if mask else None
    return FileRow(file.id, file.label, file.path, file.split, group, path)
