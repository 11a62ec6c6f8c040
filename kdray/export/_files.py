"""The files of serving, written into the folder of a package."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from kdray.confidence import Confidence, bank_size
from kdray.edge._pixels import Standard
from kdray.errors import ModelError
from kdray.explain import Subject
from kdray.explain.channelmeans import last_convolutional
from kdray.export._head import head_of
from kdray.export._network import write_network
from kdray.images import Pixels
from kdray.net import Net
from kdray.onnx import LOGITS, MAPS, run_onnx
from kdray.registry._files import checksum, described
from kdray.registry.package import MANIFEST as PACKAGE
from kdray.registry.package import Package, read_package
from kdray.registry.serving import (
    ARRAYS,
    CONVOLUTIONAL,
    FORMAT,
    MANIFEST,
    NETWORK,
    VALIDATION,
)

#: The tap that class activation methods use.
TAP = "cam"
#: Most training images whose features are kept.
BANK = 1000
#: Pixels of one forward pass.
PIXELS = 16 * 224 * 224

logger = logging.getLogger(__name__)
Arrays = dict[str, NDArray[Any]]


class Images(Protocol):
    """Images ``[N, H, W, c]``, as an array or read a piece at a time."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, piece: slice, /) -> Pixels:
        """Return some of them, uint8."""


def write_serving(
    folder: Path,
    *,
    train: Images,
    validation: Images,
    labels: NDArray[np.int64],
    samples: Sequence[tuple[Pixels, str]] = (),
    say: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """Add to a package what it takes to be served without PyTorch and to doubt an answer.

    ``model.onnx`` gives logits and maps, and is kept only where they are PyTorch's;
    ``serving.safetensors`` has what follows the maps and the confidence; with
    ``validation.safetensors`` two versions are compared image by image. ``model.json`` names
    ``serving.json`` last, so that a package is whole at any moment.

    Args:
        folder: The package; files of the same names are replaced.
        train: Training images at the size of the model, in random order; the first 1,000 or
            fewer tell how far a new image is from what the model knows.
        validation: Images that the model did not learn from.
        labels: Their true classes, ``[N]``.
        samples: Images to try the model with, and their classes. They travel with the package.
        say: Is told how many images are done, and of how many.

    Returns:
        Why the package cannot be served without PyTorch; then it has none of these files. Empty:
        it can.

    Raises:
        RegistryError: The package is damaged.
    """
    package = read_package(folder)
    with TemporaryDirectory(prefix=".serving-", dir=folder) as name:
        try:
            manifest = _fill(Path(name), package, (train, validation, labels), say)
        except ModelError as problem:
            logger.warning("%s is served by PyTorch alone: %s", package.id, problem)
            return str(problem)
        manifest["samples"] = _write_samples(Path(name), samples)
        (Path(name) / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        for file in sorted(Path(name).iterdir()):
            file.replace(folder / file.name)
    _name_in(folder)
    return ""


_Given = tuple[Images, Images, NDArray[np.int64]]


def _fill(
    folder: Path, package: Package, given: _Given, say: Callable[[int, int], None]
) -> dict[str, Any]:
    """Write the network and the arrays into a folder, and return what ``serving.json`` says."""
    train, validation, labels = given
    net = package.build()
    net.module.requires_grad_(False)
    standard = Standard(package.mean, package.std)
    images = torch.from_numpy(standard(_some(validation, train, package)))
    write_network(net, TAP, images, folder / NETWORK)
    head, arrays = head_of(net, TAP, images, _weights(package, net.module))
    run = run_onnx(folder / NETWORK, torch.get_num_threads(), (LOGITS, MAPS))
    total = len(validation) + min(BANK, len(train))
    looked = _Looked(lambda some: run(standard(some)), say, total)
    confidence = None
    if len(validation):
        logits, features = looked.at(validation, len(validation))
        bank = looked.at(train, min(BANK, bank_size(features.shape[1])))[1] if len(train) else None
        confidence = Confidence.fitted(logits, labels, features, bank)
        arrays |= confidence.arrays()
        _save(folder / VALIDATION, {"logits": logits, "labels": labels, **_hashes(validation)})
    _save(folder / ARRAYS, arrays)
    return {
        "format": FORMAT,
        "onnx": described(folder / NETWORK),
        "arrays": described(folder / ARRAYS),
        "validation": described(folder / VALIDATION) if len(validation) else None,
        "tap": TAP,
        "same": _same(net, images[:1]),
        "head": head,
        "confidence": confidence.facts() if confidence else None,
    }


def _same(net: Net, images: torch.Tensor) -> list[str]:
    """Return the other taps that have the maps of the tap, the last convolutional stage too."""
    place = net.taps[TAP]
    names = [name for name, other in net.taps.items() if name != TAP and other == place]
    try:
        stage, _ = last_convolutional(Subject(net), images)
    except ModelError:  # there is no stage of convolutions alone
        return names
    return [*names, CONVOLUTIONAL] if net.taps[stage] == place else names


class _Looked:
    """Passes images through the network, a batch at a time."""

    def __init__(
        self,
        run: Callable[[Pixels], list[NDArray[np.float32]]],
        say: Callable[[int, int], None],
        total: int,
    ) -> None:
        self._run, self._say = run, say
        self._done, self._total = 0, total

    def at(self, images: Images, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits ``[N, C]`` and features ``[N, F]`` of the first so many images."""
        logits, features = [], []
        for batch in _batches(images, count):
            found, maps = self._run(batch)
            logits.append(found)
            features.append(maps.mean(axis=(2, 3)))
            self._done += len(batch)
            self._say(self._done, self._total)
        return np.concatenate(logits), np.concatenate(features)


def _batches(images: Images, count: int) -> Iterator[Pixels]:
    count = min(count, len(images))
    one = images[0:1]
    size = max(1, PIXELS // (one.shape[1] * one.shape[2]))
    for start in range(0, count, size):
        yield images[start : min(count, start + size)]


def _hashes(images: Images) -> Arrays:
    """Return the SHA-256 of the pixels of each image, ``[N, 32]``."""
    found = [
        hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
        for batch in _batches(images, len(images))
        for image in batch
    ]
    return {"images": np.frombuffer(b"".join(found), dtype=np.uint8).reshape(-1, 32)}


def _some(validation: Images, train: Images, package: Package) -> Pixels:
    """Return four images to compare runtimes with: real ones, where there are any."""
    images = validation if len(validation) else train
    if len(images):
        return np.resize(images[0:4], (4, *images[0:1].shape[1:]))
    shape = (4, package.image_size, package.image_size, package.channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _weights(package: Package, module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of the network that the weights file has, by name."""
    from safetensors import safe_open

    with safe_open(package.folder / package.weights.file, framework="pt") as file:
        names = set(file.keys())
    return {name: tensor for name, tensor in module.state_dict().items() if name in names}


def _save(file: Path, arrays: Arrays) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)


def _write_samples(folder: Path, samples: Sequence[tuple[Pixels, str]]) -> list[dict[str, Any]]:
    from PIL import Image

    facts = []
    for index, (pixels, name) in enumerate(samples):
        file = folder / f"sample-{index}.png"
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file)
        facts.append({"file": file.name, "class": name, "sha256": checksum(file)})
    return facts


def _name_in(folder: Path) -> None:
    """Let ``model.json`` name ``serving.json``."""
    file = folder / PACKAGE
    manifest = json.loads(file.read_text(encoding="utf-8"))
    manifest["serving"] = {"file": MANIFEST, "sha256": checksum(folder / MANIFEST)}
    with TemporaryDirectory(prefix=".serving-", dir=folder) as name:
        changed = Path(name) / PACKAGE
        changed.write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
        shutil.copymode(file, changed)
        changed.replace(file)
