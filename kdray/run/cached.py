"""What a process opens once, and uses for one run after the other."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kdray.data import Dataset, Pool, training_pool
from kdray.knowledge.names import Column
from kdray.knowledge.reader import Knowledge
from kdray.knowledge.record import places_of
from kdray.models import lay_out
from kdray.net import Net
from kdray.registry.package import read_package
from kdray.spec.experiment import Train
from kdray.store import Store

#: The settings of a training that say which images it learns from.
_POOL = ("per_class", "balance", "subset_seed")


@lru_cache(maxsize=2)
def open_dataset(uri: str, path: str) -> Dataset:
    """Return a data set of a storage, memory-mapped."""
    return Dataset.open(Store(uri).fetch(path))


def open_pool(uri: str, path: str, train: Train) -> Pool:
    """Return what a run learns from.

    Args:
        uri: The storage.
        path: The data set in it.
        train: Which images, and what SMOTE makes of them.
    """
    return _pool(uri, path, _only_images(train))


def open_knowledge(
    uri: str, key: str, columns: tuple[Column, ...], views: int, path: str, train: Train
) -> Knowledge:
    """Return records of a teacher, memory-mapped.

    Args:
        uri: The storage.
        key: Names the record.
        columns: What is needed.
        views: How many views.
        path: The data set in the storage.
        train: Which images.

    Raises:
        StoreError: A file is not there.
    """
    return _knowledge(uri, key, columns, views, path, _only_images(train))


@lru_cache(maxsize=2)
def open_teacher(uri: str, path: str, device: str) -> Net:
    """Return the net of a package, laid out for the device."""
    net = read_package(Store(uri).fetch(path)).build()
    lay_out(net.module.to(device), device)
    return net


@lru_cache(maxsize=32)
def finished(uri: str, path: str) -> dict[str, Any]:
    """Return the result of a finished step."""
    return Store(uri).finished(path)


@lru_cache(maxsize=2)
def _pool(uri: str, path: str, train: Train) -> Pool:
    dataset = open_dataset(uri, path)
    return training_pool(dataset, train.per_class, train.balance, train.subset_seed)


@lru_cache(maxsize=32)
def _knowledge(
    uri: str, key: str, columns: tuple[Column, ...], views: int, path: str, train: Train
) -> Knowledge:
    return Knowledge(Store(uri), key, columns, places_of(_pool(uri, path, train)), views)


def _only_images(train: Train) -> Train:
    """Return the settings without those that trials differ in."""
    return Train(**{name: getattr(train, name) for name in _POOL})
