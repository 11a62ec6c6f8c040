from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kdray.data import Dataset, training_pool
from kdray.data._pool import Balance
from kdray.errors import DataError

Draw = Callable[..., Path]
Prepare = Callable[..., Dataset]


@pytest.fixture
def dataset(prepared: Prepare, draw: Draw) -> Dataset:
    """Return 20, 9 and 7 training images of three classes, and others."""
    for label, count in enumerate((20, 9, 7)):
        for number in range(count):
            draw(f"train/class{label}/{number}.png", 100 * label + number)
        for split in ("val", "test"):
            draw(f"{split}/class{label}/0.png", 1000 + 10 * label + len(split))
    return prepared(channels=3)


def labels_of(dataset: Dataset, places: np.ndarray) -> Counter[int]:
    return Counter(dataset.labels[places].tolist())


def test_without_settings_all_of_the_train_split_is_learnt_from(dataset: Dataset) -> None:
    pool = training_pool(dataset)
    np.testing.assert_array_equal(np.sort(pool.order(0, 1)), dataset.split("train"))


def test_so_many_images_a_class_and_fewer_where_it_is_smaller(dataset: Dataset) -> None:
    pool = training_pool(dataset, per_class=8)
    assert labels_of(dataset, pool.places) == {0: 8, 1: 8, 2: 7}
    assert set(pool.places.tolist()) <= set(dataset.split("train").tolist())


def test_a_smaller_subset_lies_in_a_larger_one(dataset: Dataset) -> None:
    found = [set(training_pool(dataset, n, seed=3).places.tolist()) for n in (2, 5, 9, None)]
    assert all(small < large for small, large in pairwise(found))


def test_another_seed_draws_other_images(dataset: Dataset) -> None:
    one, two = (training_pool(dataset, 5, seed=seed).places.tolist() for seed in (0, 1))
    assert one != two
    assert one == training_pool(dataset, 5, seed=0).places.tolist()


def test_class_weights_are_those_of_the_images_learnt_from(dataset: Dataset) -> None:
    assert training_pool(dataset).class_weights() == pytest.approx(
        [36 / 60, 36 / 27, 36 / 21]  # images / (classes * images of the class)
    )
    assert training_pool(dataset, 7).class_weights() == pytest.approx([1, 1, 1])


def test_sampling_shows_the_classes_equally_often(dataset: Dataset) -> None:
    pool = training_pool(dataset, balance="sampling")
    seen = sum(
        (Counter(pool.labels(pool.order(0, epoch)).tolist()) for epoch in range(200)), Counter()
    )
    assert sum(seen.values()) == 200 * 36
    for count in seen.values():
        assert count / (200 * 36) == pytest.approx(1 / 3, abs=0.03)


def test_a_repeated_draw_has_a_view_of_its_own_and_the_same_pixels(dataset: Dataset) -> None:
    pool = training_pool(dataset, balance="sampling")
    order = pool.order(0, 1)
    assert len(set(order.tolist())) == 36
    assert len(set((order % pool.cycle).tolist())) < 36
    np.testing.assert_array_equal(pool.images(order), dataset.images(order % len(dataset)))
    np.testing.assert_array_equal(pool.labels(order), dataset.labels[order % len(dataset)])


def test_the_order_of_sampling_follows_from_seed_and_epoch(dataset: Dataset) -> None:
    first, again = (training_pool(dataset, balance="sampling").order(1, 2) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != training_pool(dataset, balance="sampling").order(1, 3).tolist()


def test_smote_fills_every_class_up_to_the_largest(dataset: Dataset) -> None:
    pool = training_pool(dataset, balance="smote")
    order = pool.order(0, 1)
    assert Counter(pool.labels(order).tolist()) == {0: 20, 1: 20, 2: 20}
    assert len(pool) == len(set(order.tolist())) == 60


def test_smote_makes_what_imbalanced_learn_makes_of_the_pixels(dataset: Dataset) -> None:
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    places = dataset.split("train")
    pixels = dataset.images(places).reshape(len(places), -1).astype(np.float64)
    expected, labels = over_sampling.SMOTE(random_state=5).fit_resample(
        pixels, dataset.labels[places]
    )
    pool = training_pool(dataset, balance="smote", seed=5)
    made = len(dataset) + np.arange(60 - 36)
    np.testing.assert_array_equal(pool.labels(made), labels[36:])
    difference = pool.images(made).reshape(24, -1) - expected[36:]
    assert abs(difference).max() <= 0.5 + 1e-9


def test_neighbours_in_blocks_are_those_at_once(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kdray.data import _smote

    whole = training_pool(dataset, balance="smote").made
    _smote._neighbours.cache_clear()
    monkeypatch.setattr(_smote, "_BLOCK_BYTES", 4 * 8 * 8 * 8 * 3)  # four images
    np.testing.assert_array_equal(training_pool(dataset, balance="smote").made.two, whole.two)


def test_smote_of_a_few_shot_subset_uses_its_images_only(dataset: Dataset) -> None:
    pool = training_pool(dataset, 8, "smote")
    assert labels_of(dataset, pool.made.one) == {2: 1}
    assert set(pool.made.one.tolist() + pool.made.two.tolist()) <= set(pool.places.tolist())


def test_balanced_classes_need_no_smote(dataset: Dataset) -> None:
    assert len(training_pool(dataset, 7, "smote").made) == 0


def test_a_class_too_small_for_smote_is_told(prepared: Prepare, draw: Draw) -> None:
    for label, count in enumerate((12, 6)):
        for number in range(count):
            draw(f"class{label}/{number}.png", 100 * label + number)
    small = prepared(splits={"val": 0.2, "test": 0.2})
    with pytest.raises(DataError, match=r"'class1': has 4 images .* needs 6"):
        training_pool(small, balance="smote")


def test_too_much_work_for_smote_is_refused_beforehand(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdray.data._smote._MOST_WORK", 1e4)
    with pytest.raises(DataError, match=r"5e\+04 multiplications.*balance: sampling"):
        training_pool(dataset, balance="smote")


def test_without_imbalanced_learn_smote_says_what_to_install(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(DataError, match=r"pip install kdray\[smote\]"):
        training_pool(dataset, balance="smote")


@pytest.mark.parametrize("balance", ["sampling", "smote"])
def test_processes_and_restarts_see_the_same_images(dataset: Dataset, balance: Balance) -> None:
    from kdray.data import Views
    from kdray.learn import Batches, World
    from kdray.spec.data import Augment

    def epoch(world: World) -> list[Tensor]:
        views = Views(Augment(), 0, dataset.info.mean, dataset.info.std)
        pool = training_pool(dataset, None, balance)
        return [batch.images for batch in Batches(dataset, views, 8, 0, world, pool).epoch(2)]

    halves = zip(epoch(World(0, 2)), epoch(World(1, 2)), strict=True)
    for whole, again, both in zip(epoch(World()), epoch(World()), halves, strict=True):
        assert torch.equal(whole, again)
        found = torch.cat(both).sum((1, 2, 3)).tolist()
        assert sorted(found) == sorted(whole.sum((1, 2, 3)).tolist())
