"""Which test images are explained, and how many at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kdray.data import Dataset
from kdray.learn import images_at_once

Indices = NDArray[np.int64]
#: Methods that send many changed copies of an image through a model take so many images at once.
TOGETHER = 8


def split_of(dataset: Dataset) -> str:
    """Return the split whose images are explained."""
    return "test" if "test" in dataset.splits else "val"


def drawn(dataset: Dataset, count: int) -> Indices:
    """Return test images, evenly from the classes; those without a copy in train if possible.

    Fewer of them are the first of more, as long as there are enough without a copy.
    """
    indices = dataset.split(split_of(dataset))
    clean = indices[~dataset.leaks[indices]]
    indices = clean if len(clean) >= count else indices
    labels = dataset.labels[indices]
    queues = [list(indices[labels == label]) for label in range(len(dataset.info.classes))]
    found: list[int] = []
    while len(found) < min(count, len(indices)):
        for queue in queues:
            if queue and len(found) < count:
                found.append(int(queue.pop(0)))
    return np.array(found, dtype=np.int64)


def batches(dataset: Dataset, indices: Indices, device: str) -> Iterator[Indices]:
    """Yield the indices, as many at once as a model explains together."""
    size = min(TOGETHER, images_at_once(dataset.info.image_size, device))
    for start in range(0, len(indices), size):
        yield indices[start : start + size]
