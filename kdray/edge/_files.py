"""The files of a package that answer without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from kdray.registry.serving import Serving
from kdray.registry.serving import read_serving as read


def read_serving(folder: Path) -> tuple[Serving, dict[str, NDArray[Any]]]:
    """Return what ``serving.json`` says, its files compared with their checksums, and the arrays.

    Raises:
        RegistryError: There are no such files, or they are damaged.
    """
    serving = read(folder)
    return serving, serving.read_arrays()
