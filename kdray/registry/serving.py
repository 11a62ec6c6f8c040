"""The files of a package that answer without PyTorch, and say when not to trust an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from kdray.confidence import Confidence
from kdray.errors import RegistryError
from kdray.registry._files import File, check_file

FORMAT = 1
MANIFEST = "serving.json"
#: Names of the files.
NETWORK, ARRAYS, VALIDATION = "model.onnx", "serving.safetensors", "validation.safetensors"
#: Prefix of arrays of the head that are in the weights of the package, not stored again.
WEIGHTS = "weights."
#: What the last stage of convolutions is called among the taps.
CONVOLUTIONAL = "convolutional"
#: What to do with a package that has none of these files, or damaged ones.
REMEDY = (
    "Promote it again with this version of kdray, or serve it without --edge, by PyTorch "
    "(`service.runtime: torch`)."
)

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Sample:
    """An image to try a model with.

    Args:
        file: Its name in the folder.
        class_: Its true class; ``class`` in JSON.
        sha256: Its checksum, hexadecimal.
    """

    file: str
    class_: str
    sha256: str


@dataclass(frozen=True)
class Serving:
    """The fields of ``serving.json``, and the folder that they stand for.

    Args:
        folder: Where the files lie.
        format: Version of this layout.
        onnx: The network: ``images`` ``[B, c, H, W]``, standardised, to ``logits`` ``[B, C]`` and
            ``maps`` ``[B, D, h, w]``.
        arrays: Arrays of the head and of the confidence.
        tap: The tap whose maps the network gives.
        head: The layers after that tap (``kdray.edge.head.Head``); None: they are no plain chain.
        validation: Logits, labels and hashes of the validation images; None: there were none.
        confidence: Facts of ``kdray.confidence.Confidence``; None: there were no validation
            images.
        samples: Images to try.
        same: Other taps that have these maps; ``convolutional``: the last stage of convolutions,
            which ``channelmeans`` draws, has.
    """

    folder: Path
    format: Literal[1]
    onnx: File
    arrays: File
    tap: str
    head: list[dict[str, Any]] | None
    validation: File | None = None
    confidence: dict[str, Any] | None = None
    samples: tuple[Sample, ...] = ()
    same: tuple[str, ...] = ()

    def read_arrays(self, weights: str = "model.safetensors") -> Arrays:
        """Return the arrays of the head and of the confidence, by name.

        Args:
            weights: The weights file of the package, where the head's large arrays are.

        Raises:
            RegistryError: A file is damaged.
        """
        arrays = _load(self.folder / self.arrays.file)
        named = {name for layer in self.head or () for name in layer.get("arrays", {}).values()}
        stored = sorted(name for name in named if name.startswith(WEIGHTS))
        if stored:
            arrays |= _some(self.folder / weights, stored)
        return arrays

    def read_confidence(
        self, arrays: Mapping[str, NDArray[Any]] | None = None
    ) -> Confidence | None:
        """Return when not to trust an answer; None where nobody could tell.

        Args:
            arrays: Those of ``read_arrays``, if they are there already.

        Raises:
            RegistryError: Something is missing.
        """
        if self.confidence is None:
            return None
        known = _load(self.folder / self.arrays.file) if arrays is None else arrays
        return Confidence.read(self.confidence, known)

    def read_validation(self) -> Arrays | None:
        """Return what the model said of the validation images; None: there were none.

        Returns:
            ``logits`` float32 ``[n, C]``, ``labels`` int64 ``[n]`` and ``images`` uint8
            ``[n, 32]``, the SHA-256 of the pixels of each, by which two versions are compared.
        """
        return None if self.validation is None else _load(self.folder / self.validation.file)


def read_serving(folder: Path) -> Serving:
    """Return what ``serving.json`` says, its files compared with their checksums.

    Raises:
        RegistryError: There are no such files, or they are damaged.
    """
    manifest = folder / MANIFEST
    try:
        fields = json.loads(manifest.read_text(encoding="utf-8"))
        samples = [{**item, "class_": item["class"]} for item in fields.get("samples", ())]
        given = {**fields, "samples": samples, "folder": folder}
        serving = TypeAdapter(Serving).validate_python(given)
    except FileNotFoundError:
        problem = "this package has no network that runs without PyTorch."
        raise RegistryError(str(manifest), problem, REMEDY) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RegistryError(str(manifest), f"is damaged: {_first(error)}.", REMEDY) from error
    for file in (serving.onnx, serving.arrays, serving.validation, *serving.samples):
        if file is not None:
            check_file(folder, file.file, file.sha256)
    return serving


def told(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to tell a reader of ``serving.json``: sizes and the confidence, no layers.

    Args:
        manifest: The content of ``serving.json``.
    """
    return {
        "onnx_bytes": manifest.get("onnx", {}).get("bytes"),
        "gradient_maps_without_torch": manifest.get("head") is not None,
        "confidence": manifest.get("confidence"),
        "samples": len(manifest.get("samples", ())),
    }


def _load(file: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return {name: np.asarray(array) for name, array in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise RegistryError(str(file), f"is damaged: {error}.", REMEDY) from error


def _some(file: Path, names: list[str]) -> Arrays:
    """Return only some arrays of the weights file; the others stay on disk."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as weights:
            return {name: weights.get_tensor(name.removeprefix(WEIGHTS)) for name in names}
    except (OSError, SafetensorError) as error:
        raise RegistryError(str(file), f"is damaged: {error}.", REMEDY) from error


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error).rstrip(".")
    first = error.errors()[0]
    return f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
