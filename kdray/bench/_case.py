"""A classifier that is explained, and the images it is explained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from kdray import parts
from kdray.bench._plain import CHANNELS
from kdray.data import Views
from kdray.data.phantom import Params, rows
from kdray.errors import DataError
from kdray.images import SUFFIXES, decode, fit
from kdray.infer import Predictor
from kdray.models import build_model
from kdray.registry import locate, read_package, write_package
from kdray.spec.experiment import Augment
from kdray.spec.strict import Part

Pixels = NDArray[np.uint8]
#: Kinds of drawn scans: the classes of networks with random weights, and of those trained here.
CLASSES = ("none", "solid", "ring", "speckled")
#: Of the drawn scans that are explained: none of them is trained on.
_SEED, _SIZE = 1, 224


@dataclass(frozen=True)
class Case:
    """A classifier with its images.

    Args:
        label: What people call it.
        folder: Its package.
        images: uint8 ``[n, H, W, c]``.
        classes: int64 ``[n, K]``: the explained classes of each image, the most probable first.
        trained: Whether it has learnt; False: its weights are random.
    """

    label: str
    folder: Path
    images: Pixels
    classes: NDArray[np.int64]
    trained: bool = True

    def __len__(self) -> int:
        return len(self.images)

    @property
    def family(self) -> str:
        """The part of ``kdray/models`` that builds it."""
        model = read_package(self.folder).model
        return parts.canonical("models", Part(name=model["name"], params=model["params"])).name

    def standard(self) -> list[Tensor]:
        """Return the images one by one as the network takes them, ``[1, c, H, W]``."""
        package = read_package(self.folder)
        views = Views(Augment(), 0, package.mean, package.std)
        images = views.plain(self.images).contiguous()
        return [images[place : place + 1] for place in range(len(images))]


def case(label: str, folder: Path, images: Path | None, count: int, classes: int) -> Case:
    """Return a package with images and, for each, its most probable classes.

    Args:
        label: What people call it.
        folder: The package.
        images: Where images lie, in folders or not; None: drawn scans.
        count: How many images.
        classes: How many classes, at most those that it knows.

    Raises:
        DataError: There are no images, or one cannot be read.
    """
    predictor = Predictor(folder)
    size, channels = predictor.package.image_size, predictor.package.channels
    pixels = _drawn(count) if images is None else _read(images, count)
    fitted = np.stack([fit(image, size, channels) for image in pixels])
    ranked = (-predictor.predict(fitted)).argsort(axis=1, kind="stable")[:, :classes]
    trained = predictor.package.lineage.get("weights") != "random"
    return Case(label, folder, fitted, ranked.astype(np.int64), trained)


def package_of(model: str, registry: str, size: int, work: Path) -> tuple[str, Path]:
    """Return what to call a model, and its package.

    Args:
        model: A name of `kdray models`, whose weights will be random; else NAME, NAME@VERSION or
            a package folder.
        registry: URI of the registry.
        size: Height and width of the images of a network with random weights, pixels.
        work: Where packages of such networks go.

    Raises:
        RegistryError: There is no such model.
    """
    known = (*parts.presets("models"), *parts.names("models"))
    if model not in known:
        folder, called = locate(model, registry)
        return (read_package(folder).id if "/" in called else called), folder
    return f"{model} (random weights)", _random(model, size, work / f"{model}-random-{size}")


@dataclass(frozen=True)
class _Info:
    """What a package keeps of data that there are none of."""

    image_size: int
    classes: tuple[str, ...] = CLASSES
    channels: int = CHANNELS
    mean: tuple[float, ...] = (0.5,) * CHANNELS
    std: tuple[float, ...] = (0.25,) * CHANNELS


def _random(name: str, size: int, folder: Path) -> Path:
    """Write a network with random weights, unless it is there."""
    if not (folder / "model.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        info = _Info(size)
        net = build_model(name, {}, channels=CHANNELS, classes=len(CLASSES), image_size=size)
        model = {"name": name, "params": {}}
        lineage = {"weights": "random"}
        write_package(
            folder, net, model=model, id=name, role="student", info=info, lineage=lineage
        )
    return folder


def _drawn(count: int) -> list[Pixels]:
    scans = rows(Params(num_images=count, seed=_SEED, size=_SIZE))
    return [read for scan in scans if not isinstance(read := scan.read(), bytes)]


def _read(folder: Path, count: int) -> list[Pixels]:
    """Return images of a folder, evenly from the sorted list of all."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(str(folder), "holds no images.", "Give a folder with images.")
    return [decode(file.read_bytes()) for file in _evenly(files, count)]


def _evenly(files: Sequence[Path], count: int) -> list[Path]:
    places = np.linspace(0, len(files), min(count, len(files)), endpoint=False).astype(int)
    return [files[place] for place in places]
