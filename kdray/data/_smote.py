"""SMOTE on raw pixels (Chawla et al., 2002), by imbalanced-learn, without holding the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.data._dataset import Dataset
from kdray.errors import DataError
from kdray.images import Pixels

#: Neighbours that an image may be mixed with: the default of imbalanced-learn.
NEIGHBOURS = 5
_BLOCK_BYTES = 64 * 2**20
#: About an hour of multiplications on a few cores.
_MOST_WORK = 4e14

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Mixtures:
    """Images between two of one class: ``one + share * (two - one)``, rounded.

    Args:
        one: Places in the data set ``[m]``.
        two: Places of their neighbours ``[m]``.
        share: From 0 to 1 ``[m]``.
        labels: ``[m]``.
    """

    one: Places
    two: Places
    share: NDArray[np.float64]
    labels: Places

    @classmethod
    def none(cls) -> Mixtures:
        """Return no mixtures."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing, np.zeros(0), nothing)

    def __len__(self) -> int:
        return len(self.one)

    def images(self, dataset: Dataset, numbers: Places) -> Pixels:
        """Return the mixtures of these ``numbers`` ``[B]``, uint8 ``[B, H, W, c]``."""
        one = dataset.images(self.one[numbers]).astype(np.float64)
        two = dataset.images(self.two[numbers])
        share = self.share[numbers][:, None, None, None]
        return np.rint(one + share * (two - one)).astype(np.uint8)


def mixtures(dataset: Dataset, places: Places, seed: int) -> Mixtures:
    """Return the images that fill every class up to the largest one.

    imbalanced-learn draws, with a sparse identity matrix in the place of the pixels: each of its
    new rows then names two images and their shares, which is all that has to be kept. The images
    are those of SMOTE on the flattened pixels, made when a batch needs them. They follow from data
    set, places and seed alone, on every machine and after every restart.

    Differs: HDKD's code gives SMOTE the pixels as 8-bit integers, whose differences wrap around at
    256; here they are subtracted as numbers.

    Raises:
        DataError: imbalanced-learn is not installed, a class is too small, or all are too large.
    """
    smote, sparse = _libraries()
    labels = dataset.labels[places]
    counts = np.bincount(labels)
    filled = [label for label in np.unique(labels).tolist() if counts[label] < counts.max()]
    if not filled:
        return Mixtures.none()
    _check(dataset, counts, filled)
    table = np.zeros((len(places), NEIGHBOURS + 1), dtype=np.int64)
    for label in filled:
        members = np.flatnonzero(labels == label)
        table[members] = _neighbours(dataset, tuple(places[members].tolist()))
    sampler = smote(k_neighbors=_Known(table), random_state=seed)
    mixed, made = sampler.fit_resample(sparse.identity(len(places), format="csr"), labels)
    return _read(mixed[len(places) :], places, made[len(places) :])


class _Known:
    """Neighbours found beforehand, as imbalanced-learn asks for them."""

    def __init__(self, table: Places) -> None:
        self._table = table

    def __sklearn_clone__(self) -> _Known:
        return self

    def fit(self, rows: Any) -> _Known:
        """Do nothing: the neighbours are known."""
        return self

    def kneighbors(self, rows: Any, return_distance: bool = False) -> Places:
        """Return the neighbours, as places within the class ``[n, k + 1]``."""
        neighbours: Places = self._table[rows.indices]
        return neighbours

    def kneighbors_graph(self, rows: Any) -> Places:
        """Return the same; imbalanced-learn only checks that the method is there."""
        return self.kneighbors(rows)


def _libraries() -> tuple[Any, Any]:
    try:
        from imblearn.over_sampling import SMOTE
        from scipy import sparse
    except ImportError as error:
        raise DataError(
            "balance", "smote needs imbalanced-learn.", "Run `pip install kdray[smote]`."
        ) from error
    return SMOTE, sparse


def _check(dataset: Dataset, counts: Places, filled: Sequence[int]) -> None:
    for label in filled:
        if counts[label] <= NEIGHBOURS:
            name, least = dataset.info.classes[label], NEIGHBOURS + 1
            raise DataError(
                f"class {name!r}",
                f"has {counts[label]} images to train on; SMOTE needs {least} or more.",
                "Use balance: sampling.",
            )
    pixels = dataset.info.image_size**2 * dataset.info.channels
    work = 2.0 * sum(float(counts[label]) ** 2 for label in filled) * pixels
    if work > _MOST_WORK:
        raise DataError(
            "balance",
            f"smote would compare all images of the smaller classes, {work:.0e} multiplications.",
            "Use balance: sampling, smaller images, or per_class.",
        )


@lru_cache(maxsize=64)
def _neighbours(dataset: Dataset, places: tuple[int, ...]) -> Places:
    """Return, for each image, itself and its nearest ones, nearest first, ``[n, k + 1]``.

    The squared distances are whole numbers below 2^53: exact, so the same on every machine. Memory
    is two blocks of images, whatever the class holds.
    """
    import torch  # its matrix product keeps to the threads of this worker; NumPy's takes all

    side = dataset.info.image_size**2 * dataset.info.channels
    block = max(1, _BLOCK_BYTES // (8 * side))
    found = np.empty((len(places), NEIGHBOURS + 1), dtype=np.int64)
    for start in range(0, len(places), block):
        left = _flat(dataset, places[start : start + block])
        own = np.arange(len(left))
        distances = np.empty((len(left), len(places)))
        for other in range(0, len(places), block):
            right = _flat(dataset, places[other : other + block])
            squares = np.einsum("ij,ij->i", right, right)
            products = torch.from_numpy(left) @ torch.from_numpy(right).T
            distances[:, other : other + block] = squares - 2 * products.numpy()
        distances[own, start + own] = -np.inf
        found[start + own] = np.argsort(distances, axis=1, kind="stable")[:, : NEIGHBOURS + 1]
    return found


def _flat(dataset: Dataset, places: Sequence[int]) -> NDArray[np.float64]:
    return dataset.images(places).reshape(len(places), -1).astype(np.float64)


def _read(mixed: Any, places: Places, labels: Places) -> Mixtures:
    """Return the mixtures that the rows of a sparse matrix ``[m, n]`` say."""
    mixed.sort_indices()
    one, two = np.empty(len(labels), dtype=np.int64), np.empty(len(labels), dtype=np.int64)
    share = np.zeros(len(labels))
    for row in range(len(labels)):
        part = slice(mixed.indptr[row], mixed.indptr[row + 1])
        ends, weights = mixed.indices[part], mixed.data[part]
        one[row], two[row] = places[ends[0]], places[ends[-1]]
        share[row] = weights[-1] if len(ends) > 1 else 0.0
    return Mixtures(one, two, share, labels.astype(np.int64))
