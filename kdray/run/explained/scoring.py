"""One model's explanations, scored in a worker and kept for every job that asks again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kdray import measure, parts
from kdray.data import Dataset
from kdray.errors import KdrayError
from kdray.explain import Explanation
from kdray.infer import Predictor
from kdray.measure import GRID
from kdray.run.cached import open_dataset
from kdray.run.explained.images import batches, drawn, split_of
from kdray.spec.strict import Part
from kdray.store import Store

Indices = NDArray[np.int64]
Values = dict[str, list[NDArray[Any]]]

#: The file of a model's maps and answers.
MAPS, ANSWERS = "maps.npz", "answers"
#: Where there are more classes, only the map of the true one is made.
MAX_CLASSES = 10
#: The time of so many maps is taken, one image at a time, after one that warms up.
TIMED = 8
#: What a model or a method may raise; it becomes a note.
FAILURES = (KdrayError, RuntimeError, ValueError, IndexError, TypeError)


@dataclass(frozen=True)
class Work:
    """What a worker is asked to do for one model.

    Args:
        uri: The storage.
        dataset: The data set in it.
        package: The model in it.
        target: Where the result goes.
        methods: The explanations.
        images: How many test images.
        device: Where the model runs.
        threads: Threads of its tensor operations; 0: as they are.
    """

    uri: str
    dataset: str
    package: str
    target: str
    methods: tuple[Part, ...]
    images: int
    device: str
    threads: int


def score(work: Work) -> None:
    """Score the maps of one model with every method, and those of a random baseline.

    The result holds for each method ``values`` (score -> one number an image, None where it is
    not defined), ``met_ms`` and ``plain_ms`` (of the timed images), ``forwards`` of a map,
    ``estimate``, ``degenerate`` (reason -> how many), ``classwise``; or ``failed``, the reason why
    the method can do nothing with the model. ``maps.npz`` holds its maps ``[N, K, g, g]``.
    """
    store = Store(work.uri)
    if work.threads:
        torch.set_num_threads(work.threads)
    dataset = open_dataset(work.uri, work.dataset)
    indices = drawn(dataset, work.images)
    bench = _Bench(Predictor(store.fetch(work.package), work.device), dataset, indices, work)
    masks = dataset.masks(indices)
    arrays: dict[str, NDArray[Any]] = {ANSWERS: bench.answers()}
    methods = []
    for place, part in enumerate(work.methods):
        found, made = _tried(bench, part)
        methods.append(found)
        if made is not None:
            arrays[str(place)] = made
    result = {
        "images": len(indices),
        "split": split_of(dataset),
        "classes": list(dataset.info.classes),
        "grid": min(GRID, dataset.info.image_size),
        "masks": 0 if masks is None else int(masks.any(axis=(1, 2)).sum()),
        "device": work.device,
        "threads": torch.get_num_threads(),
        "methods": methods,
        "random": {"values": _random(bench)},
    }
    with store.publish(work.target, result) as folder:
        np.savez_compressed(folder / MAPS, **arrays)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Bench:
    """A model and the images that its maps are scored on."""

    predictor: Predictor
    dataset: Dataset
    indices: Indices
    work: Work

    def batches(self) -> Sequence[Indices]:
        return list(batches(self.dataset, self.indices, self.work.device))

    def answers(self) -> NDArray[np.float32]:
        """Return the model's probabilities ``[N, C]``."""
        seen = [self.predictor.predict(self.dataset.images(some)) for some in self.batches()]
        return np.concatenate(seen)

    def scores(self, indices: Indices, maps: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return score -> a number for each image, of maps ``[N, H, W]`` of the true classes."""
        images, labels = self.dataset.images(indices), self.dataset.labels[indices]
        masks = self.dataset.masks(indices)
        return dict(measure.map_scores(self.predictor.answers, images, maps, labels, masks).values)


@dataclass
class _Gathered:
    """What the batches of one method gave so far."""

    values: Values = field(default_factory=dict)
    maps: list[NDArray[np.float16]] = field(default_factory=list)
    estimates: list[NDArray[np.float32]] = field(default_factory=list)
    degenerate: Counter[str] = field(default_factory=Counter)

    def add(self, values: Mapping[str, NDArray[Any]]) -> None:
        for name, numbers in values.items():
            self.values.setdefault(name, []).append(np.asarray(numbers, dtype=np.float64))


def _tried(bench: _Bench, part: Part) -> tuple[dict[str, Any], NDArray[np.float16] | None]:
    """Return what is known of a method, and its maps; one that fails is no reason to stop."""
    try:
        return _method(bench, part)
    except FAILURES as error:
        return {"failed": reason_of(error)}, None


def reason_of(error: Exception) -> str:
    """Return why an explanation failed, in one line."""
    if isinstance(error, KdrayError):
        return error.problem
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _method(bench: _Bench, part: Part) -> tuple[dict[str, Any], NDArray[np.float16]]:
    whole = is_classwise(part) and len(bench.predictor.classes) <= MAX_CLASSES
    gathered = _Gathered()
    for indices in bench.batches():
        _add(gathered, bench, indices, part, whole)
    estimates = gathered.estimates
    found = {
        "values": _listed(gathered.values),
        **_timed(bench, part),
        "estimate": numbers_of(np.concatenate(estimates)) if estimates else None,
        "degenerate": dict(gathered.degenerate),
        "classwise": whole,
    }
    return found, np.concatenate(gathered.maps)


def is_classwise(part: Part) -> bool:
    """Return whether a method's map of one class differs from that of another."""
    name = parts.canonical("explain", part).name
    return bool(parts.header("explain", name).constants.get("CLASSWISE", True))


def _add(gathered: _Gathered, bench: _Bench, indices: Indices, part: Part, whole: bool) -> None:
    """Add the maps of a batch, of all classes if ``whole``, and the scores of the true ones."""
    images, labels = bench.dataset.images(indices), bench.dataset.labels[indices]
    every = np.arange(len(bench.predictor.classes), dtype=np.int64)
    classes = np.tile(every, (len(indices), 1)) if whole else labels[:, None]
    found = bench.predictor.explain(images, part.name, part.params, classes)
    places = labels if whole else np.zeros_like(labels)
    rows = np.arange(len(indices))
    gathered.add(bench.scores(indices, found.maps[rows, places]))
    gathered.maps.append(reduced(found.maps))
    if found.estimate is not None:
        gathered.estimates.append(found.estimate[rows, places])
    true = set(zip(rows.tolist(), places.tolist(), strict=True))
    gathered.degenerate.update(
        reason for place, reason in found.degenerate.items() if place in true
    )


def reduced(maps: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return maps ``[N, K, H, W]`` averaged over areas, on the grid that maps are compared on."""
    small = measure.on_grid(maps.reshape(-1, *maps.shape[2:]))
    return small.reshape(*maps.shape[:2], *small.shape[1:]).astype(np.float16)


def _timed(bench: _Bench, part: Part) -> dict[str, Any]:
    """Return the time of a map and of a plain forward pass, in turn, one image at a time.

    The first image warms up; it is left out where there are more.
    """
    images = bench.dataset.images(bench.indices[: TIMED + 1])
    labels = bench.dataset.labels[bench.indices[: TIMED + 1]]
    plain, made = [], []
    for image, label in zip(images, labels, strict=True):
        plain.append(_ms(bench.predictor.logits, image[None]))
        made.append(_explained(bench.predictor, image[None], part, int(label)))
    keep = slice(1 if len(made) > 1 else 0, None)
    return {
        "met_ms": [one.ms for one in made][keep],
        "plain_ms": plain[keep],
        "forwards": float(np.mean([one.forwards for one in made])),
    }


def _explained(
    predictor: Predictor, image: NDArray[np.uint8], part: Part, label: int
) -> Explanation:
    target = np.array([label], dtype=np.int64)
    return predictor.explain(image, part.name, part.params, target)


def _ms(function: Callable[..., Any], *args: Any) -> float:
    started = time.perf_counter()
    function(*args)
    return 1000 * (time.perf_counter() - started)


def _random(bench: _Bench) -> dict[str, list[float | None]]:
    """Return the scores of random maps, which are the same for every model."""
    size = bench.dataset.info.image_size
    gathered = _Gathered()
    for seed, indices in enumerate(bench.batches()):
        gathered.add(bench.scores(indices, measure.random_maps(len(indices), size, seed)))
    return _listed(gathered.values)


def _listed(values: Values) -> dict[str, list[float | None]]:
    return {name: numbers_of(np.concatenate(found)) for name, found in values.items()}


def numbers_of(values: NDArray[Any]) -> list[float | None]:
    """Return numbers for JSON; None where one is not defined."""
    return [float(value) if np.isfinite(value) else None for value in values.tolist()]
