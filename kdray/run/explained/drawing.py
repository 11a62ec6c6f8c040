"""The figures of the best student and its teacher, drawn in a worker."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.data import Dataset
from kdray.explain import layer_maps
from kdray.infer import Predictor
from kdray.report.classes_figure import ClassMaps, classes_figure
from kdray.report.figure import ExplainedImage, Prediction, explanation_figure
from kdray.report.layers_figure import LayerMaps, layers_figure
from kdray.run.cached import open_dataset
from kdray.run.explained.images import TOGETHER, Indices, drawn, split_of
from kdray.run.explained.opening import opened
from kdray.run.explained.scoring import FAILURES, MAX_CLASSES, is_classwise, reason_of
from kdray.spec.strict import Part
from kdray.store import Store

SIDE_BY_SIDE, CLASSES, LAYERS = "explanations.png", "classes.png", "layers.png"
#: Images in the figures of all classes and of all layers, which have many pictures an image.
FEW = 4

Map = NDArray[np.float32] | str


@dataclass(frozen=True)
class Drawing:
    """What is drawn.

    Args:
        uri: The storage.
        dataset: The data set in it.
        models: Title -> path of the package, teacher first.
        methods: Title -> explanation.
        images: How many test images.
    """

    uri: str
    dataset: str
    models: Mapping[str, str]
    methods: Mapping[str, Part]
    images: int


@dataclass(frozen=True)
class Drawn:
    """The pictures, and what is said of them.

    Args:
        pictures: File name -> PNG.
        figures: ``file``, ``title`` and ``kind`` of each.
        images: How many images are in the first one.
        notes: Why maps are missing.
    """

    pictures: Mapping[str, bytes]
    figures: tuple[Mapping[str, str], ...]
    images: int
    notes: tuple[str, ...]


def draw(drawing: Drawing) -> Drawn:
    """Return the figures: side by side, of each class, and of all layers.

    The second shows the first method that tells classes apart, in data sets of few classes.
    """
    desk = _Desk(drawing)
    pictures: dict[str, bytes] = {}
    figures: list[Mapping[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="kdray-") as folder:
        for file, kind, title in _figures(desk, Path(folder)):
            pictures[file] = (Path(folder) / file).read_bytes()
            figures.append({"file": file, "title": title, "kind": kind})
    return Drawn(pictures, tuple(figures), len(desk.indices), tuple(desk.notes()))


class _Desk:
    """The models and images that are drawn, and the maps of the true classes."""

    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.store = Store(drawing.uri)
        self.dataset: Dataset = open_dataset(drawing.uri, drawing.dataset)
        self.indices = drawn(self.dataset, drawing.images)
        self.predictors = {
            title: Predictor(self.store.fetch(path)) for title, path in drawing.models.items()
        }

    @property
    def classes(self) -> tuple[str, ...]:
        return self.dataset.info.classes

    @cached_property
    def maps(self) -> dict[tuple[str, str], list[Map]]:
        """(method, model) -> a map of each image's true class, or why there is none."""
        true = self.dataset.labels[self.indices][:, None]
        return {
            (method, title): [row[0] for row in self.explained(title, part, self.indices, true)]
            for method, part in self.drawing.methods.items()
            for title in self.predictors
        }

    def explained(
        self, title: str, part: Part, indices: Indices, classes: NDArray[np.int64]
    ) -> list[list[Map]]:
        """Return for each image the maps of its ``classes`` ``[N, K]`` by one model."""
        found: list[list[Map]] = []
        for start in range(0, len(indices), TOGETHER):
            some = slice(start, start + TOGETHER)
            images = self.dataset.images(indices[some])
            found += _maps(self.predictors[title], images, part, classes[some])
        return found

    def notes(self) -> Iterator[str]:
        for (method, title), found in self.maps.items():
            for index, item in enumerate(found):
                if isinstance(item, str):
                    yield f"{method} of {title}, image {index + 1}: {item}"


def _maps(
    predictor: Predictor, images: NDArray[np.uint8], part: Part, classes: NDArray[np.int64]
) -> list[list[Map]]:
    places = range(classes.shape[1])
    try:
        made = predictor.explain(images, part.name, part.params, classes)
    except FAILURES as error:  # a model without what the method looks at, say
        return [[reason_of(error) for _ in places] for _ in images]
    return [
        [made.degenerate.get((row, place), made.maps[row, place]) for place in places]
        for row in range(len(images))
    ]


def _figures(desk: _Desk, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Draw the figures; yield file, kind and title of each."""
    _side_by_side(desk, folder / SIDE_BY_SIDE)
    yield SIDE_BY_SIDE, "side_by_side", "Teacher and student side by side"
    for method, part in desk.drawing.methods.items():
        if is_classwise(part) and len(desk.classes) <= MAX_CLASSES:
            _by_class(desk, folder / CLASSES, method, part)
            yield CLASSES, "classes", f"{method} of each class"
            break
    if _by_layer(desk, folder / LAYERS):
        yield LAYERS, "layers", "Average feature maps of every layer"


def _side_by_side(desk: _Desk, path: Path) -> None:
    images, masks = desk.dataset.images(desk.indices), desk.dataset.masks(desk.indices)
    probabilities = {title: one.predict(images) for title, one in desk.predictors.items()}
    labels = desk.dataset.labels[desk.indices]
    rows = [
        ExplainedImage(
            image=images[index],
            label=desk.classes[labels[index]],
            predictions={
                title: Prediction(
                    desk.classes[int(seen[index].argmax())], float(seen[index].max())
                )
                for title, seen in probabilities.items()
            },
            maps={key: found[index] for key, found in desk.maps.items()},
            mask=None if masks is None else masks[index],
        )
        for index in range(len(images))
    ]
    note = f"Maps explain the true class. Images of the {split_of(desk.dataset)} split."
    explanation_figure(path, rows, list(desk.drawing.methods), list(desk.predictors), note)


def _by_class(desk: _Desk, path: Path, method: str, part: Part) -> None:
    indices = desk.indices[:FEW]
    images, masks = desk.dataset.images(indices), desk.dataset.masks(indices)
    labels = desk.dataset.labels[indices]
    probabilities = {title: one.predict(images) for title, one in desk.predictors.items()}
    every = np.tile(np.arange(len(desk.classes), dtype=np.int64), (len(indices), 1))
    maps = {title: desk.explained(title, part, indices, every) for title in desk.predictors}
    rows = [
        ClassMaps(
            image=images[index],
            label=desk.classes[labels[index]],
            probabilities={
                (name, title): float(seen[index, place])
                for title, seen in probabilities.items()
                for place, name in enumerate(desk.classes)
            },
            maps={
                (name, title): found[index][place]
                for title, found in maps.items()
                for place, name in enumerate(desk.classes)
            },
            mask=None if masks is None else masks[index],
        )
        for index in range(len(images))
    ]
    classes_figure(path, rows, desk.classes, list(desk.predictors), method)


def _by_layer(desk: _Desk, path: Path) -> bool:
    """Draw the average feature maps of the layers; return whether there are any."""
    indices = desk.indices[:FEW]
    images, labels = desk.dataset.images(indices), desk.dataset.labels[indices]
    found = {
        title: _layers(desk.store.fetch(package), images)
        for title, package in desk.drawing.models.items()
    }
    layers = {title: names for title, (names, _) in found.items() if names}
    if not layers:
        return False
    rows = [
        LayerMaps(
            image=images[index],
            label=desk.classes[labels[index]],
            maps={
                (title, name): _said(maps[index])
                for title, (names, of_layers) in found.items()
                for name, maps in zip(names, of_layers, strict=True)
            },
        )
        for index in range(len(images))
    ]
    layers_figure(path, rows, layers)
    return True


def _layers(folder: Path, images: NDArray[np.uint8]) -> tuple[Sequence[str], list[NDArray[Any]]]:
    """Return the layers of a model, and of each its average map of the images ``[B, h, w]``."""
    model = opened(folder, "cpu")
    names, maps = layer_maps(model.subject, model.standard(images))
    return names, [one.float().numpy() for one in maps]


def _said(map_: NDArray[Any]) -> NDArray[Any] | str:
    """Return a map, or why it shows nothing."""
    if not np.isfinite(map_).all():
        return "the map holds NaN or infinite values."
    blank = np.ptp(map_) <= 1e-6 * np.abs(map_).max()
    return f"the map is blank: every value is {map_.max():.3g}." if blank else map_
