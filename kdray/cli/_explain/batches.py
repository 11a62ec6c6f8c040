"""Images that are explained at once: read, predicted, and what is asked of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.cli._explain.images import Source
from kdray.cli._explain.wanted import Wanted
from kdray.errors import DataError
from kdray.infer import Floats, Images, Predictor

Record = dict[str, Any]
#: Takes an image or a method, and why it cannot be explained.
Note = Callable[[dict[str, str]], None]


@dataclass(frozen=True)
class Named:
    """A model and what to call it."""

    called: str
    predictor: Predictor


@dataclass(frozen=True)
class Batch:
    """Images that are explained at once, each with its record.

    Args:
        sources: Where they come from.
        pixels: Each at its own size.
        images: As each model sees them, ``[B, H, W, c]``: the explained one, and the one that it
            is compared with, if any.
        targets: For each model the indices of the classes to explain, ``[B, K]``.
        records: What is known of each image.
    """

    sources: Sequence[Source]
    pixels: Sequence[Images]
    images: Sequence[Images]
    targets: Sequence[NDArray[np.int64]]
    records: Sequence[Record]

    def places(self) -> list[tuple[int, int]]:
        """Return (image, place) of every map: each class once, also where it is the predicted."""
        return [
            (image, place)
            for image, row in enumerate(self.targets[0].tolist())
            for place, target in enumerate(row)
            if target not in row[:place]
        ]


def batch_of(
    sources: Sequence[Source], models: Sequence[Named], wanted: Wanted, note: Note
) -> Batch | None:
    """Return the images that can be read with their predictions; None where none can.

    Args:
        sources: The images.
        models: The explained one, and the one that it is compared with, if any.
        wanted: What every image is asked.
        note: Told of images that cannot be read.
    """
    loaded = list(_loaded(sources, models[0], wanted, note))
    if not loaded:
        return None
    pixels = [picture for _, picture in loaded]
    images = [np.stack([model.predictor.fit(item) for item in pixels]) for model in models]
    shares = [model.predictor.predict(some) for model, some in zip(models, images, strict=True)]
    records = [_record(source, picture) for source, picture in loaded]
    for model, found, place in zip(models, shares, ("", "teacher"), strict=False):
        for record, row in zip(records, found, strict=True):
            record |= {place: _answer(model, row)} if place else _answer(model, row)
    read = [source for source, _ in loaded]
    return Batch(read, pixels, images, _targets(models, shares[0], wanted), records)


def _loaded(
    sources: Sequence[Source], model: Named, wanted: Wanted, note: Note
) -> Iterator[tuple[Source, Images]]:
    for source in sources:
        try:
            data = source.path.read_bytes()
            yield source, model.predictor.pixels(data, window=wanted.window)
        except OSError as error:
            note({"image": str(source.path), "error": f"cannot be read: {error.strerror}."})
        except DataError as error:
            note({"image": str(source.path), "error": error.sentence()})


def _record(source: Source, pixels: Images) -> Record:
    height, width = pixels.shape[:2]
    facts = {"image": str(source.path), "name": source.name, "width": width, "height": height}
    return {**facts, "maps": []}


def _answer(model: Named, shares: Floats) -> Record:
    classes = model.predictor.classes
    return {
        "prediction": classes[int(shares.argmax())],
        "probabilities": dict(zip(classes, map(float, shares), strict=True)),
    }


def _targets(models: Sequence[Named], shares: Floats, wanted: Wanted) -> list[NDArray[np.int64]]:
    """Return the explained classes ``[B, K]`` as each model numbers them."""
    classes = models[0].predictor.classes
    columns = [
        np.full(len(shares), classes.index(name)) if name in classes else shares.argmax(axis=1)
        for name in wanted.classes  # what is no class is PREDICTED
    ]
    ours = np.stack(columns, axis=1).astype(np.int64)
    return [
        np.array([model.predictor.index(name) for name in classes], dtype=np.int64)[ours]
        for model in models
    ]
