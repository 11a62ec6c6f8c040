from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from kdray.data import Dataset, Pool, training_pool
from kdray.learn import held
from tests.learn.small import make_batches


def test_images_on_a_device_are_those_of_the_pool(dataset: Dataset) -> None:
    pool = training_pool(dataset, per_class=3, balance="sampling")
    samples = np.concatenate([pool.order(0, epoch) for epoch in (1, 2, 3)])
    assert (samples >= pool.cycle).any()  # some are drawn again
    found = held.Held(pool, "cpu").images(samples)
    np.testing.assert_array_equal(found.numpy(), pool.images(samples))


def test_what_smote_made_is_held_too(dataset: Dataset) -> None:
    pytest.importorskip("imblearn")
    labels = dataset.labels[dataset.split("train")]
    rare = np.flatnonzero(labels == 0)[7:]
    pool = Pool(dataset, np.delete(dataset.split("train"), rare))
    from kdray.data._smote import mixtures

    pool = Pool(dataset, pool.places, made=mixtures(dataset, pool.places, 0))
    assert len(pool.made)
    samples = pool.order(0, 1)
    found = held.Held(pool, "cpu").images(samples)
    np.testing.assert_array_equal(found.numpy(), pool.images(samples))


def test_batches_of_held_images_are_the_same(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_memory = list(make_batches(dataset).epoch(2))
    monkeypatch.setattr(held, "room", lambda device: 2**30)
    read: list[int] = []
    batches = make_batches(dataset)
    monkeypatch.setattr(Pool, "images", lambda pool, samples: read.append(1))
    for one, other in zip(batches.epoch(2), from_memory, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
    assert not read


def test_images_are_sent_once_and_dropped_with_their_pool(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "room", lambda device: 2**30)
    pool = training_pool(dataset)
    there = held.held(pool, "cpu")
    assert there is not None
    assert held.held(pool, "cpu") is there
    key = (id(pool), "cpu")
    del pool
    gc.collect()
    assert key not in held._held


def test_images_that_do_not_fit_stay_where_they_are(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = training_pool(dataset)
    num_bytes = len(pool) * int(np.prod(held.shape_of(pool)))
    assert held.held(pool, "cpu") is None
    monkeypatch.setattr(held, "room", lambda device: 4 * num_bytes - 1)
    assert held.held(pool, "cpu") is None
    monkeypatch.setattr(held, "room", lambda device: 4 * num_bytes)
    assert held.held(pool, "cpu") is not None
