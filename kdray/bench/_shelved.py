"""A registry of models to serve: untrained, which makes no difference to how fast they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdray.confidence import softmax
from kdray.data.phantom import Params, rows
from kdray.export import write_serving
from kdray.images import fit
from kdray.models import build_model
from kdray.registry import Registry, write_package
from kdray.registry.serving import read_serving

CLASSES = ("none", "solid", "ring", "speckled")
#: Drawn scans that the confidence of a package is fitted on.
_IMAGES = 64


@dataclass(frozen=True)
class Info:
    """What a package keeps of its data.

    Args:
        image_size: Height and width that the model sees, pixels.
    """

    image_size: int
    classes: tuple[str, ...] = CLASSES
    channels: int = 3
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)


def add_version(registry: Registry, name: str, size: int, seed: int, folder: Path) -> Path:
    """Add a version of a model to a registry, champion if it is the first.

    Args:
        registry: Where to.
        name: One of ``kdray models``, and how the registry calls it, with ``-`` for ``_``.
        size: Height and width of its images, pixels.
        seed: Of its weights.
        folder: Where its package is written first.

    Returns:
        The package.
    """
    package = folder / f"{name}-{seed}"
    package.mkdir(parents=True)
    net = build_model(name, {}, channels=3, classes=len(CLASSES), image_size=size, seed=seed)
    write_package(
        package,
        net,
        model={"name": name, "params": {}},
        id=name,
        role="student",
        info=Info(size),
        lineage={"weights": "random", "seeds": [seed]},
    )
    images, labels = _scans(size)
    half = _IMAGES // 2
    write_serving(package, train=images[:half], validation=images[half:], labels=labels[half:])
    shelved = shelf_name(name)
    version = registry.add(shelved, package, key=str(seed))
    if "champion" not in registry.aliases(shelved):
        registry.promote(shelved, version, "champion")
    return package


def calibrated(package: Path, logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities ``[B, C]`` that a package gives its logits ``[B, C]``."""
    serving = read_serving(package)
    confidence = serving.read_confidence(serving.read_arrays())
    return softmax(logits) if confidence is None else confidence.probabilities(logits)


def shelf_name(name: str) -> str:
    """Return how the registry calls a model."""
    return name.replace("_", "-")


def _scans(size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    scans = list(rows(Params(num_images=_IMAGES, seed=3, size=max(size, 64))))
    pixels = [read for scan in scans if not isinstance(read := scan.read(), bytes)]
    names = sorted({scan.label for scan in scans})
    labels = np.array([names.index(scan.label) for scan in scans], np.int64)
    return np.stack([fit(image, size, 3) for image in pixels]), labels
