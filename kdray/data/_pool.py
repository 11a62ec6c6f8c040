"""What a training run learns from: all of the train split or a few a class, balanced or not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kdray.data._dataset import Dataset
from kdray.data._smote import Mixtures, mixtures
from kdray.images import Pixels

Places = NDArray[np.int64]
Balance = Literal["none", "class_weights", "sampling", "smote"]


@dataclass(frozen=True)
class Pool:
    """The samples of a training run.

    A sample has a number that names its view: the image's place in the data set, or, for one that
    SMOTE made, a number after all places; drawn once more in an epoch, ``cycle`` is added to it.

    Args:
        dataset: Where the images lie.
        places: The real images, ascending ``[n]``.
        chances: Chance ``[n]`` of each to be drawn, with replacement; None: each once an epoch.
        made: What SMOTE adds.
    """

    dataset: Dataset
    places: Places
    chances: NDArray[np.float64] | None = None
    made: Mixtures = field(default_factory=Mixtures.none)

    def __len__(self) -> int:
        return len(self.places) + len(self.made)

    @property
    def cycle(self) -> int:
        """The distance between the numbers of two draws of one sample."""
        return len(self.dataset) + len(self.made)

    def order(self, seed: int, epoch: int) -> Places:
        """Return the samples of an epoch in an order set by seed and epoch, ``[len(self)]``."""
        random = np.random.default_rng([seed, epoch])
        if self.chances is None:
            made = len(self.dataset) + np.arange(len(self.made))
            return random.permutation(np.concatenate([self.places, made]))
        drawn = np.sort(random.choice(self.places, len(self.places), p=self.chances))
        again = np.arange(len(drawn)) - np.searchsorted(drawn, drawn)
        return random.permutation(drawn + self.cycle * again)

    def images(self, samples: Places) -> Pixels:
        """Return the images of ``samples`` ``[B]``, uint8 ``[B, H, W, c]``."""
        places, number = self._split(samples)
        real = number < 0
        found = self.dataset.images(np.where(real, places, 0))
        if not real.all():
            found[~real] = self.made.images(self.dataset, number[~real])
        return found

    def labels(self, samples: Places) -> Places:
        """Return the labels of ``samples`` ``[B]``."""
        places, number = self._split(samples)
        if not len(self.made):
            return self.dataset.labels[places]
        real = self.dataset.labels[np.where(number < 0, places, 0)]
        return np.where(number < 0, real, self.made.labels[np.maximum(number, 0)])

    def class_weights(self) -> NDArray[np.float64]:
        """Return what balances the classes, ``[C]``: images over classes times its images."""
        labels = self.dataset.labels[self.places]
        counts = np.bincount(labels, minlength=len(self.dataset.info.classes))
        return len(labels) / (len(counts) * np.maximum(counts, 1))

    def _split(self, samples: Places) -> tuple[Places, Places]:
        """Return the place of each sample, and its number among what was made or less than 0."""
        places = samples % self.cycle
        return places, places - len(self.dataset)


def training_pool(
    dataset: Dataset, per_class: int | None = None, balance: Balance = "none", seed: int = 0
) -> Pool:
    """Return what a run learns from.

    Args:
        dataset: The data set.
        per_class: Images a class, fewer where a class is smaller; None: all. The images of a
            smaller number are among those of a larger one.
        balance: ``sampling``: drawn with replacement, each class as often as any other;
            ``smote``: the smaller classes filled up by SMOTE; others leave the images as they are.
        seed: Seed of the images drawn and of SMOTE.

    Raises:
        DataError: SMOTE is not installed, or the classes are too small or too large for it.
    """
    places = dataset.split("train")
    if per_class is not None:
        places = few(dataset, places, per_class, seed)
    if balance == "smote":
        return Pool(dataset, places, made=mixtures(dataset, places, seed))
    if balance == "sampling":
        chances = Pool(dataset, places).class_weights()[dataset.labels[places]]
        return Pool(dataset, places, chances / chances.sum())
    return Pool(dataset, places)


def few(dataset: Dataset, places: Places, per_class: int, seed: int) -> Places:
    """Return ``per_class`` of the ``places`` of each class, or all of a smaller one, ascending.

    They follow from the seed and the images' ids, not from their order.
    """
    ranks = [hashlib.sha256(f"{seed}:{dataset.ids[place]}".encode()).digest() for place in places]
    chosen: list[int] = []
    taken = np.zeros(len(dataset.info.classes), dtype=np.int64)
    for index in sorted(range(len(places)), key=ranks.__getitem__):
        label = dataset.labels[places[index]]
        taken[label] += 1
        if taken[label] <= per_class:
            chosen.append(int(places[index]))
    return np.sort(np.array(chosen, dtype=np.int64))
