"""The files of a package that answer without PyTorch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from kdray.errors import RegistryError
from kdray.registry.package import check_file

MANIFEST = "serving.json"
#: What to do with a package that has none of these files.
REMEDY = (
    "Promote it again with this version of kdray, or serve it without --edge, by PyTorch "
    "(`service.runtime: torch`)."
)


@dataclass(frozen=True)
class File:
    """A file of a package.

    Args:
        file: Its name in the folder.
        sha256: Its checksum, hexadecimal.
        bytes: Its size.
    """

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Serving:
    """The fields of ``serving.json`` that an answer needs.

    Args:
        format: Version of this layout.
        onnx: The network: ``images`` to ``logits`` and ``maps``.
        arrays: Arrays of the head and of the confidence.
        tap: The tap whose maps the network gives.
        head: The layers after that tap; None: they are no plain chain.
    """

    format: Literal[1]
    onnx: File
    arrays: File
    tap: str
    head: list[dict[str, Any]] | None


def read_serving(folder: Path) -> tuple[Serving, dict[str, NDArray[Any]]]:
    """Return what ``serving.json`` says, its files compared with their checksums, and the arrays.

    Raises:
        RegistryError: There are no such files, or they are damaged.
    """
    manifest = folder / MANIFEST
    try:
        fields = json.loads(manifest.read_text(encoding="utf-8"))
        serving = TypeAdapter(Serving).validate_python(fields)
    except FileNotFoundError:
        problem = "this package has no network that runs without PyTorch."
        raise RegistryError(str(manifest), problem, REMEDY) from None
    except (OSError, ValueError, TypeError) as error:
        raise RegistryError(str(manifest), f"is damaged: {_first(error)}.", REMEDY) from error
    for file in (serving.onnx, serving.arrays):
        check_file(folder, file.file, file.sha256)
    return serving, _arrays(folder / serving.arrays.file)


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return {name: np.asarray(array) for name, array in load_file(file).items()}
    except SafetensorError as error:
        raise RegistryError(str(file), f"is damaged: {error}.", REMEDY) from error


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error).rstrip(".")
    first = error.errors()[0]
    return f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
