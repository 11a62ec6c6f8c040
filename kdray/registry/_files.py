"""Files of a package and their checksums."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdray.errors import RegistryError


@dataclass(frozen=True)
class File:
    """A file of a package.

    Args:
        file: Name of the file in the folder.
        sha256: Its checksum, hexadecimal.
        bytes: Its size.
    """

    file: str
    sha256: str
    bytes: int


def described(file: Path) -> dict[str, Any]:
    """Return what JSON says of a file: the fields of ``File``."""
    return {"file": file.name, "sha256": checksum(file), "bytes": file.stat().st_size}


def check_file(folder: Path, name: str, sha256: str) -> None:
    """Compare a file of a package with its checksum.

    Raises:
        RegistryError: The file is missing, or its content has changed.
    """
    file = folder / name
    if Path(name).name != name or not file.is_file():
        raise RegistryError(str(file), "this file of the package is missing.")
    found = checksum(file)
    if found != sha256:
        problem = f"is damaged: its SHA-256 is {found[:12]}..., recorded is {sha256[:12]}...."
        raise RegistryError(str(file), problem, "Restore the file, or promote another version.")


def checksum(file: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
