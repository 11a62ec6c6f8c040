"""The prepared data set: images memory-mapped from one Arrow file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from kdray.errors import DataError
from kdray.images import Pixels

#: Facts of a data set, and its images.
FACTS, IMAGES = "dataset.json", "images.arrow"
FORMAT = 1
_FIRST = ("train", "val", "test")


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a prepared data set.

    Args:
        classes: Class names, sorted; a label is a place in it.
        image_size: Height and width, pixels.
        channels: 1 or 3.
        mean: What pixels are standardised by, 0..1, one a channel: of the train split or ImageNet.
        std: The same of the deviation.
        hash: Of ids, labels, splits, groups, masks and pixels, in their order.
        counts: Split -> class -> images.
        duplicates: Equal and nearly equal images, and what leaks between splits.
        bad: Images that could not be read: ``id`` and ``problem``.
        source: ``name`` and ``params`` of the source.
        deviations: Where a public data set has not the images that it should have: ``split``,
            ``class``, ``expected``, ``found``.
    """

    classes: tuple[str, ...]
    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    hash: str
    counts: Mapping[str, Mapping[str, int]]
    duplicates: Mapping[str, Any]
    bad: Sequence[Mapping[str, str]]
    source: Mapping[str, Any]
    deviations: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> DatasetInfo:
        """Return the info of the content of ``dataset.json``."""
        values: dict[str, Any] = {
            key: tuple(facts[key]) if isinstance(facts[key], list) else facts[key]
            for key in (field.name for field in fields(cls))
            if key in facts
        }
        return cls(**values)


def split_order(splits: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the splits once each: train, val, test, then the others sorted."""
    found = set(splits)
    return (*(name for name in _FIRST if name in found), *sorted(found.difference(_FIRST)))


class Dataset:
    """A prepared data set of ``N`` images; ``open`` one.

    Args:
        info: What is known of it.
        table: Its Arrow table.
    """

    def __init__(self, info: DatasetInfo, table: pa.Table) -> None:
        self.info = info
        self.ids: tuple[str, ...] = tuple(table["id"].to_pylist())
        self.groups: tuple[str, ...] = tuple(table["group"].to_pylist())
        self.labels: NDArray[np.int64] = table["label"].to_numpy()
        self.leaks: NDArray[np.bool_] = table["leak"].to_numpy()
        self._split_of = np.array(table["split"].to_pylist())
        self.splits = split_order(self._split_of.tolist())
        size, channels = info.image_size, info.channels
        self._images = _Pages(table["image"], (size, size, channels))
        self._masks: _Pages | None = None
        self.has_mask: NDArray[np.bool_] = np.zeros(len(self.labels), dtype=bool)
        if "mask" in table.column_names:
            self._masks = _Pages(table["mask"], (size, size))
            self.has_mask = table["mask"].is_valid().to_numpy()

    @classmethod
    def open(cls, folder: str | Path) -> Dataset:
        """Return the data set that ``prepare`` wrote; its pixels stay on disk until asked for.

        Raises:
            DataError: The folder holds no prepared data set that this version can read.
        """
        folder = Path(folder)
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            if facts["format"] != FORMAT:
                raise DataError(
                    str(folder),
                    f"is of format {facts['format']}, not {FORMAT}.",
                    "Prepare it again.",
                )
            table = pa.ipc.open_file(pa.memory_map(str(folder / IMAGES))).read_all()
            return cls(DatasetInfo.of(facts), table)
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise DataError(str(folder), f"holds no prepared data set: {error}.") from error

    def __len__(self) -> int:
        return len(self.labels)

    def split(self, name: str) -> NDArray[np.int64]:
        """Return the places of a split's images, ascending.

        Raises:
            DataError: The data set has no such split.
        """
        if name not in self.splits:
            known = ", ".join(self.splits)
            raise DataError(
                f"split {name!r}", "the data set has no such split.", f"It has: {known}."
            )
        return np.flatnonzero(self._split_of == name)

    def images(self, indices: ArrayLike) -> Pixels:
        """Return the images at ``indices`` ``[B]``, uint8 ``[B, H, W, c]``."""
        return self._images.gather(indices)

    def masks(self, indices: ArrayLike) -> Pixels | None:
        """Return the masks at ``indices``, 0 or 1, uint8 ``[B, H, W]``.

        An image without one (see ``has_mask``) has zeros; None where the data set has no masks.
        """
        return None if self._masks is None else self._masks.gather(indices)


class _Pages:
    """Arrays of one shape in the chunks of a fixed-size binary column; nothing is copied."""

    def __init__(self, column: pa.ChunkedArray, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._pages = [_page(chunk, shape) for chunk in column.chunks if len(chunk)]
        ends = np.cumsum([len(page) for page in self._pages])
        self._starts = np.concatenate([[0], ends[:-1]])
        self._length = int(ends[-1])

    def gather(self, indices: ArrayLike) -> Pixels:
        places = np.asarray(indices, dtype=np.int64)
        if places.size and (places.min() < 0 or places.max() >= self._length):
            raise IndexError(f"an index is outside the {self._length} images")
        pages = np.searchsorted(self._starts, places, side="right") - 1
        inside = places - self._starts[pages]
        out = np.empty((len(places), *self._shape), dtype=np.uint8)
        for row, (page, place) in enumerate(zip(pages.tolist(), inside.tolist(), strict=True)):
            out[row] = self._pages[page][place]
        return out


def _page(chunk: pa.Array, shape: tuple[int, ...]) -> Pixels:
    width = int(np.prod(shape))
    data = np.frombuffer(
        chunk.buffers()[1], dtype=np.uint8, count=(chunk.offset + len(chunk)) * width
    )
    return data.reshape(-1, *shape)[chunk.offset :]
