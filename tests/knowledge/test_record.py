from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from kdray.data import Dataset, Pool, Views, training_pool
from kdray.errors import RunError
from kdray.knowledge import record as recording
from kdray.knowledge.names import file_of, missing
from kdray.knowledge.record import Recorder, places_of
from kdray.net import Net
from kdray.store import Store
from tests.distill.small import small_net
from tests.knowledge.recording import KEY, asked, method, record


class Counted(torch.nn.Module):
    """Counts the images that a net looks at, and stops after some."""

    def __init__(self, net: Net, most: int = 10**9) -> None:
        super().__init__()
        self.inner = net.module
        self.left = most
        self.seen = 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        self.left -= len(images)
        if self.left < 0:
            raise KeyboardInterrupt
        answer: Tensor = self.inner(images)
        return answer


def counted(most: int = 10**9) -> tuple[Net, Counted]:
    net = small_net(seed=2)
    module = Counted(net, most)
    return replace(net, parallel=module), module


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make parts of 8 places and batches of 4."""
    for module in ("names", "record", "reader"):
        monkeypatch.setattr(f"kdray.knowledge.{module}.PART", 8)
    monkeypatch.setattr(recording, "BATCH", 4)


def test_a_file_holds_the_teachers_answers_as_any_arrow_reader_sees_them(
    store: Store, pool: Pool, views: Views
) -> None:
    teacher, wanted = small_net(seed=2), asked(method("kd"), small_net(), small_net(seed=2))
    assert record(store, teacher, [wanted], pool, views) == 2 * len(pool)
    path = store.path(file_of(KEY, wanted.columns[0], 1, 0))
    values = pa.ipc.open_file(path).read_all()["value"].to_pylist()
    first = places_of(pool)[:32]
    with torch.no_grad():
        expected = teacher.module.eval()(views.train(pool.images(first), 1, first))
    np.testing.assert_array_equal(np.array(values[:32], dtype=np.float32), expected.numpy())
    assert len(values) == len(pool)


def test_what_is_recorded_is_not_computed_again(store: Store, pool: Pool, views: Views) -> None:
    teacher, module = counted()
    wanted = [asked(method("kd"), small_net(), small_net())]
    assert record(store, teacher, wanted, pool, views) == 2 * len(pool) == module.seen
    assert record(store, teacher, wanted, pool, views) == 0
    assert Recorder(store, KEY, teacher, wanted, pool, views).record(0, 0) == 0
    assert module.seen == 2 * len(pool)


@pytest.mark.usefixtures("small_parts")
def test_an_interrupted_recording_goes_on_where_it_was(
    store: Store, pool: Pool, views: Views
) -> None:
    wanted = [asked(method("hdkd"), small_net(), small_net())]
    teacher, module = counted(most=20)
    with pytest.raises(KeyboardInterrupt):
        record(store, teacher, wanted, pool, views)
    left = missing(store, KEY, wanted[0].columns, 2, len(pool))
    teacher, module = counted()
    # Two parts of 8 were whole when the third was cut off.
    assert record(store, teacher, wanted, pool, views) == 2 * len(pool) - 16 == module.seen
    assert left[0] == (0, 2)
    assert not missing(store, KEY, wanted[0].columns, 2, len(pool))


@pytest.mark.usefixtures("small_parts")
def test_more_views_and_methods_add_files_and_repeat_none(
    store: Store, pool: Pool, views: Views, dataset: Dataset
) -> None:
    wanted = [asked(method("kd"), small_net(), small_net())]
    record(store, small_net(seed=2), wanted, pool, views)
    files = {path: path.stat().st_mtime_ns for path in Path(store.root).rglob("*.arrow")}
    more = Views(views.augment, views.seed, dataset.info.mean, dataset.info.std, number=3)
    teacher, module = counted()
    record(store, teacher, wanted, pool, more)
    assert module.seen == len(pool)
    wanted += [asked(method("dfkd"), small_net(), small_net())]
    record(store, teacher, wanted, pool, more)
    assert module.seen == 4 * len(pool)
    assert all(path.stat().st_mtime_ns == time for path, time in files.items())


@pytest.mark.usefixtures("small_parts")
def test_a_part_is_the_same_whoever_records_it_and_in_whatever_order(
    tmp_path: Path, pool: Pool, views: Views
) -> None:
    wanted = [asked(method(name), small_net(), small_net()) for name in ("dfkd", "hdkd")]
    stores = [Store(str(tmp_path / name)) for name in "ab"]
    spots = missing(stores[0], KEY, wanted[0].columns, 2, len(pool))
    for store, order, listed in (
        (stores[0], spots, wanted),
        (stores[1], spots[::-1], wanted[::-1]),
    ):
        recorder = Recorder(store, KEY, small_net(seed=2), listed, pool, views)
        for view, part in order:
            recorder.record(view, part)
    files = [
        {
            path.relative_to(store.root): path.read_bytes()
            for path in Path(store.root).rglob("*.arrow")
        }
        for store in stores
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 8 * len(spots)  # logits, three stages, two peaks, two moments


def test_numbers_that_float16_cannot_hold_are_refused(
    store: Store, pool: Pool, views: Views
) -> None:
    teacher = small_net(seed=2)
    with torch.no_grad():
        teacher.module.stages[0][1].weight.fill_(1e6)  # type: ignore[index,union-attr]
    student = small_net()
    with pytest.raises(RunError, match=r"map/stage.*not finite in float16.*float32"):
        record(store, teacher, [asked(method("hdkd"), student, teacher)], pool, views)
    assert record(
        store, teacher, [asked(method("hdkd"), student, teacher, "float32")], pool, views
    )


def test_what_smote_made_has_places_of_its_own(dataset: Dataset) -> None:
    pool = training_pool(dataset, balance="smote")
    places = places_of(pool)
    assert len(pool.made) > 0
    assert len(places) == len(pool)
    assert places[-len(pool.made) :].tolist() == [len(dataset) + i for i in range(len(pool.made))]
    assert set(pool.order(0, 1).tolist()) == set(places.tolist())


def test_places_drawn_again_are_recorded_once(dataset: Dataset) -> None:
    pool = training_pool(dataset, balance="sampling")
    drawn = pool.order(0, 1) % pool.cycle
    assert set(drawn.tolist()) <= set(places_of(pool).tolist())
    assert len(places_of(pool)) == len(dataset.split("train"))
