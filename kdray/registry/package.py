"""A trained model as a folder: weights in safetensors and ``model.json``, never a pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import TypeAdapter, ValidationError

from kdray import parts
from kdray.errors import RegistryError
from kdray.registry._files import File, check_file, checksum, described
from kdray.registry.serving import read_serving
from kdray.spec.strict import Part

if TYPE_CHECKING:  # torch takes seconds to import, and reading a registry does not need it
    from kdray.net import Net

__all__ = ["Info", "Named", "Package", "check_file", "checksum", "read_package", "write_package"]

FORMAT = 1
WEIGHTS = "model.safetensors"
MANIFEST = "model.json"


class Info(Protocol):
    """What a package keeps of the dataset; ``kdray.data.DatasetInfo`` has it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the ``C`` classes, in the order of the logits."""

    @property
    def image_size(self) -> int:
        """Height and width of an input image, pixels."""

    @property
    def channels(self) -> int:
        """1 or 3."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel over the training split, 0..1."""

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel over the training split."""


@dataclass(frozen=True)
class Named:
    """A file of a package, by its checksum.

    Args:
        file: Name of the file in the folder.
        sha256: Its checksum, hexadecimal.
    """

    file: str
    sha256: str


@dataclass(frozen=True)
class Package:
    """A trained model: the fields of ``model.json``, and the folder they stand for.

    Args:
        folder: Where the files lie.
        format: Version of this layout.
        model: ``name`` of the model part and its ``params``.
        id: Name of the model in its job.
        role: Whether it taught or learnt.
        classes: Names of the ``C`` classes, in the order of the logits.
        image_size: Height and width of an input image, pixels.
        channels: 1 (grey) or 3 (colour).
        mean: Mean of each channel, 0..1; subtracted from the input.
        std: Standard deviation of each channel; divides the input.
        weights: The weights file and its checksum.
        lineage: Where the model comes from: job, data hash, teacher, seed, code.
        serving: ``serving.json``; None: the package has no network that runs without PyTorch.
    """

    folder: Path
    format: Literal[1]
    model: dict[str, Any]
    id: str
    role: Literal["teacher", "student"]
    classes: tuple[str, ...]
    image_size: int
    channels: Literal[1, 3]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: File
    lineage: dict[str, Any]
    serving: Named | None = None

    def build(self) -> Net:
        """Return the network with its weights, in eval mode.

        Raises:
            RegistryError: The weights do not fit the model.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_model

        from kdray.models import build_model

        net = build_model(
            self.model["name"],
            self.model["params"],
            channels=self.channels,
            classes=len(self.classes),
            image_size=self.image_size,
        )
        file = self.folder / self.weights.file
        try:
            load_model(net.module, str(file))
        except (RuntimeError, SafetensorError) as error:
            problem = f"the weights do not fit the model {self.model['name']}: {error}."
            raise RegistryError(str(file), problem) from error
        net.module.eval()
        return net

    @property
    def window(self) -> tuple[float, float] | None:
        """Centre and width of the values that training was shown of DICOM images, if it chose."""
        chosen = self.lineage.get("window")
        return None if chosen is None else (float(chosen["center"]), float(chosen["width"]))

    def metrics(self) -> dict[str, Any]:
        """Return ``metrics.json``; empty where the package has none."""
        file = self.folder / "metrics.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def card(self) -> str:
        """Return the model card, Markdown; empty where the package has none."""
        file = self.folder / "card.md"
        return file.read_text(encoding="utf-8") if file.exists() else ""


def write_package(  # noqa: PLR0913 - each is a fact that only the caller knows
    folder: Path,
    net: Net,
    *,
    model: dict[str, Any],
    id: str,
    role: Literal["teacher", "student"],
    info: Info,
    lineage: dict[str, Any],
) -> dict[str, Any]:
    """Write weights and ``model.json`` into an existing folder; return the latter's content.

    Args:
        folder: The folder; files of the same names are replaced.
        net: The trained network, on any device.
        model: ``name`` and ``params`` of the model part, or preset, that builds it; kept in
            full, so that a package does not depend on the presets of later versions.
        id: Name of the model in its job.
        role: Whether it taught or learnt.
        info: Classes, input and standardisation of the dataset.
        lineage: Where the model comes from; JSON-able.
    """
    from safetensors.torch import save_model

    file = folder / WEIGHTS
    save_model(net.module, str(file))
    part = Part(name=model["name"], params=dict(model.get("params", {})))
    manifest = {
        "format": FORMAT,
        "model": parts.canonical("models", part).model_dump(),
        "id": id,
        "role": role,
        "classes": list(info.classes),
        "image_size": info.image_size,
        "channels": info.channels,
        "mean": list(info.mean),
        "std": list(info.std),
        "weights": described(file),
        "lineage": lineage,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


def read_package(folder: Path) -> Package:
    """Return the package of a folder, all its files compared with their checksums.

    Raises:
        RegistryError: ``model.json``, the weights or a file of serving are missing or damaged.
    """
    file = folder / MANIFEST
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        package = TypeAdapter(Package).validate_python({**fields, "folder": folder})
    except FileNotFoundError:
        remedy = "Give a folder that `kdray registry export` or a job has written."
        raise RegistryError(str(file), "there is no package here.", remedy) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        problem = f"this is no package of format {FORMAT}: {place}: {first['msg']}."
        raise RegistryError(str(file), problem) from None
    except (OSError, ValueError, TypeError) as error:
        raise RegistryError(str(file), f"is damaged: {error}.") from error
    check_file(folder, package.weights.file, package.weights.sha256)
    if package.serving is not None:
        check_file(folder, package.serving.file, package.serving.sha256)
        read_serving(folder)
    return package
