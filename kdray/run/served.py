"""What a promoted package is served by: the job's own images tell how far to trust it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.confidence import STATED, Confidence, calibration_error, softmax
from kdray.data import Dataset
from kdray.export import write_serving
from kdray.images import Pixels
from kdray.plan import Plan
from kdray.registry.serving import MANIFEST, read_serving
from kdray.store import Store

#: Of the draws of images.
SEED = 0
#: Raised when other files of serving are written from the same weights.
VERSION = 1

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Split:
    """Images of a data set, read a piece at a time.

    Args:
        dataset: The data set.
        indices: Places of the images, ``[N]``.
    """

    dataset: Dataset
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.indices)

    def __getitem__(self, piece: slice, /) -> Pixels:
        """Return some of them, uint8 ``[B, H, W, c]``."""
        return self.dataset.images(self.indices[piece])


def fill_serving(folder: Path, plan: Plan, store: Store, tell: Tell) -> None:
    """Add the files of serving to a package, from the data set of its job.

    Args:
        folder: The package.
        plan: The job's plan.
        store: The storage.
        tell: Takes events; a package that PyTorch alone can serve is noted.
    """
    dataset = Dataset.open(store.fetch(plan.prepare.path))
    validation = _of(dataset, "val")
    problem = write_serving(
        folder,
        train=Split(dataset, np.random.default_rng(SEED).permutation(_of(dataset, "train"))),
        validation=Split(dataset, validation),
        labels=dataset.labels[validation],
        samples=list(_samples(dataset, validation, plan.job.promote.samples)),
        say=lambda done, total: tell({"kind": "progress", **_at(plan, done, total)}),
    )
    if problem:
        text = f"{folder.name} can be served by PyTorch alone: {problem}"
        tell({"kind": "note", "step": plan.promote.id, "text": text})


def calibration(folder: Path, evaluated: Path, path: str) -> dict[str, Any]:
    """Return how the confidence of a package holds on the test splits, which chose nothing of it.

    Args:
        folder: The package, with its files of serving.
        evaluated: The folder of the job's evaluation, which kept all logits.
        path: The model's run in the storage.

    Returns:
        Test split -> ``images``, ``ece_before`` and ``ece_after`` calibration, and for each
        stated coverage the measured one and the mean number of classes of a set.
    """
    predictions, run = evaluated / "predictions.npz", path.rpartition("/")[2]
    if not (folder / MANIFEST).is_file() or not predictions.is_file():
        return {}
    serving = read_serving(folder)
    confidence = serving.read_confidence()
    if confidence is None:
        return {}
    with np.load(predictions) as arrays:
        splits = [name.removeprefix("labels|") for name in arrays if name.startswith("labels|")]
        return {
            split: _measured(confidence, arrays[f"{run}|{split}"], arrays[f"labels|{split}"])
            for split in splits
            if f"{run}|{split}" in arrays
        }


def _of(dataset: Dataset, split: str) -> NDArray[np.int64]:
    return dataset.split(split) if split in dataset.splits else np.zeros(0, dtype=np.int64)


def _samples(
    dataset: Dataset, indices: NDArray[np.int64], count: int
) -> Iterator[tuple[Pixels, str]]:
    """Give so many images and their classes, drawn, the classes in turn."""
    drawn = np.random.default_rng(SEED).permutation(indices)
    rank = np.zeros(len(drawn), dtype=np.int64)
    for label in np.unique(dataset.labels[drawn]):
        of_label = dataset.labels[drawn] == label
        rank[of_label] = np.arange(of_label.sum())
    order = np.lexsort((dataset.labels[drawn], rank))
    for index in islice(drawn[order], count):
        yield dataset.images([index])[0], dataset.info.classes[dataset.labels[index]]


def _at(plan: Plan, done: int, total: int) -> Mapping[str, Any]:
    return {"step": plan.promote.id, "done": done, "total": total, "unit": "images"}


def _measured(
    confidence: Confidence, logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[str, Any]:
    before, after = softmax(logits), confidence.probabilities(logits)
    return {
        "images": len(labels),
        "ece_before": calibration_error(before, labels),
        "ece_after": calibration_error(after, labels),
        "coverage": {
            str(coverage): _covered(confidence.sets(after, coverage), labels)
            for coverage in STATED
        },
    }


def _covered(sets: list[tuple[int, ...]], labels: NDArray[np.int64]) -> dict[str, float]:
    hits = [label in members for label, members in zip(labels.tolist(), sets, strict=True)]
    sizes = [len(members) for members in sets]
    return {"measured": float(np.mean(hits)), "mean_classes": float(np.mean(sizes))}
