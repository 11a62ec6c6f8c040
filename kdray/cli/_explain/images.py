"""The images that files and folders stand for, each under a name of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

#: The file that this command leaves beside its results of an image; such a folder is no source.
RESULT = "explanation.json"
_BYTES = 100
_DICOM = 128  # bytes of preamble before the letters DICM


@dataclass(frozen=True)
class Source:
    """An image file.

    Args:
        path: Where it is.
        name: A safe file name that no other image of the command has.
    """

    path: Path
    name: str


def sources_of(paths: Sequence[Path]) -> tuple[list[Source], list[tuple[Path, str]]]:
    """Return the images of files and folders, each once, and what cannot be found.

    A file is taken for an image whatever it is called. Of a folder, with all in it, files with the
    suffix of an image and DICOM files of any name are taken, but no results of this command.

    Args:
        paths: Files and folders.

    Returns:
        The images, and (path, problem) of each path that is none.
    """
    found: dict[Path, tuple[Path, str]] = {}
    problems = []
    for path in paths:
        if path.is_dir():
            inside = list(_inside(path))
            for file in inside:
                found.setdefault(file.resolve(), (file, str(file.relative_to(path))))
            if not inside:
                problems.append((path, "the folder holds no image."))
        elif path.exists():
            found.setdefault(path.resolve(), (path, path.name))
        else:
            problems.append((path, "there is no such file or folder."))
    taken: set[str] = set()
    sources = [Source(path, unique(_stem(name), taken)) for path, name in found.values()]
    return sources, problems


def unique(name: str, taken: set[str]) -> str:
    """Return a safe file name like ``name`` that is not taken yet, and take it.

    Args:
        name: Any text.
        taken: Names that are taken, in lower case, as some file systems see them; changed.
    """
    safe = re.sub(r"[^\w.-]+", "_", name).lstrip(".-").encode()[:_BYTES].decode(errors="ignore")
    base = safe.rstrip(". ") or "_"
    chosen, number = base, 1
    while chosen.lower() in taken:
        number += 1
        chosen = f"{base}-{number}"
    taken.add(chosen.lower())
    return chosen


def _stem(name: str) -> str:
    from kdray.images import SUFFIXES  # and NumPy

    path = Path(name)
    short = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
    return "-".join(short.parts)


def _inside(folder: Path) -> Iterator[Path]:
    from kdray.images import SUFFIXES

    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file() or (path.parent / RESULT).exists():
            continue
        if path.suffix.lower() in SUFFIXES or _is_dicom(path):
            yield path


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_DICOM + 4)[_DICOM:] == b"DICM"
    except OSError:
        return False
