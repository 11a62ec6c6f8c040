from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from kdray.data import Pool, Views
from kdray.errors import StoreError
from kdray.knowledge import reader
from kdray.knowledge.names import Column, file_of, signature
from kdray.knowledge.outline import Asked, flatten
from kdray.knowledge.reader import Knowledge
from kdray.knowledge.record import places_of
from kdray.knowledge.writer import write_part
from kdray.net import look
from kdray.store import Store
from tests.distill.small import small_net
from tests.knowledge.recording import KEY, asked, knowledge, method, record

COLUMN = Column("map/stage1", (2, 3), "float32")
PLACES = np.array([3, 5, 8, 9])


def written(store: Store, column: Column = COLUMN, key: str = KEY) -> np.ndarray:
    """Write one view of one part and return its numbers ``[4, width]``."""
    values = np.random.default_rng(0).integers(0, 2, (4, column.width))
    values = values.astype("uint8" if column.dtype == "bool" else column.dtype)
    write_part(store, key, column, 0, 0, PLACES, values)
    return values


def opened(store: Store, column: Column = COLUMN, **changed: object) -> Knowledge:
    given = {"store": store, "key": KEY, "columns": [column], "places": PLACES, "views": 1}
    return Knowledge(**{**given, **changed})  # type: ignore[arg-type]


def test_rows_come_in_the_order_asked_for(store: Store) -> None:
    values = written(store)
    seen = opened(store).gather(np.array([9, 3, 9]), np.zeros(3, dtype=np.int64))["map/stage1"]
    assert seen.dtype == torch.float32
    np.testing.assert_array_equal(seen.numpy(), values[[3, 0, 3]].reshape(3, 2, 3))


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_numbers_are_those_written(
    store: Store, monkeypatch: pytest.MonkeyPatch, large: bool, dtype: str
) -> None:
    if large:
        monkeypatch.setattr(reader, "_LARGE", 0)
    column = Column("map/stage1", (2, 3), dtype)  # type: ignore[arg-type]
    values = np.random.default_rng(1).normal(size=(4, 6)).astype(dtype)
    write_part(store, KEY, column, 0, 0, PLACES, values)
    seen = opened(store, column).gather(PLACES, np.zeros(4, dtype=np.int64))["map/stage1"]
    np.testing.assert_array_equal(seen.numpy().reshape(4, 6), values.astype(np.float32))


def test_bits_are_unpacked_to_booleans(store: Store, pool: Pool, views: Views) -> None:
    taught = method("dfkd", mask="hard", record="bits", kappa=1)
    teacher = small_net(seed=2)
    wanted = [asked(taught, small_net(), teacher)]
    record(store, teacher, wanted, pool, views)
    places = places_of(pool)[:7]
    seen = knowledge(store, wanted, pool, views).gather(places, np.zeros(7, dtype=np.int64))
    with torch.no_grad():
        images = views.train(pool.images(places), 0, places)
        expected = flatten(taught.reduce(look(teacher, images, wanted[0].wants)))
    name = "map/texture.above-1.0"
    assert seen[name].dtype == torch.bool
    assert seen[name].shape == (7, 1, 8, 8)
    assert 0 < int(seen[name].sum()) < seen[name].numel()
    assert torch.equal(seen[name], expected[name])


def test_files_are_mapped_and_only_the_rows_asked_for_are_copied(store: Store) -> None:
    written(store)
    known = opened(store)
    known.gather(PLACES, np.zeros(4, dtype=np.int64))
    page = known._pages["map/stage1"][0]
    assert page is not None
    address, name = page.__array_interface__["data"][0], file_of(KEY, COLUMN, 0, 0)
    mapped = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    ranges = [line[0].split("-") for line in mapped if line[-1].endswith(name)]
    assert any(int(start, 16) <= address < int(end, 16) for start, end in ranges)


def test_no_file_descriptor_stays_open(store: Store) -> None:
    written(store)
    before = len(list(Path("/proc/self/fd").iterdir()))
    known = opened(store)
    known.gather(PLACES, np.zeros(4, dtype=np.int64))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"key": "another"}, "key"),
        ({"column": Column("map/other", (2, 3), "float32")}, "column"),
        ({"column": Column("map/stage1", (3, 2), "float32")}, "shape"),
        ({"view": 1}, "view"),
        ({"part": 1}, "part"),
        ({"places": np.array([3, 5, 8, 10])}, "places"),
    ],
)
def test_a_file_that_says_something_else_of_itself_is_refused(
    store: Store, changed: dict[str, object], named: str
) -> None:
    given = {"key": KEY, "column": COLUMN, "view": 0, "part": 0, "places": PLACES} | changed
    values = np.zeros((4, 6), dtype=np.float32)
    write_part(store, **given, values=values)  # type: ignore[arg-type]
    other = Path(store.path(file_of(given["key"], given["column"], given["view"], given["part"])))  # type: ignore[arg-type]
    store.write(file_of(KEY, COLUMN, 0, 0), other.read_bytes())
    with pytest.raises(StoreError, match=rf"stage1.*another {named}.*Delete it"):
        opened(store).gather(PLACES, np.zeros(4, dtype=np.int64))


@pytest.mark.parametrize("data", [b"", b"no arrow file", None])
def test_a_damaged_file_is_refused(store: Store, data: bytes | None) -> None:
    written(store)
    name = file_of(KEY, COLUMN, 0, 0)
    whole = Path(store.path(name)).read_bytes()
    store.write(name, whole[:-40] if data is None else data)
    with pytest.raises(StoreError, match="is no record"):
        opened(store).gather(PLACES, np.zeros(4, dtype=np.int64))


def test_a_file_of_another_format_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("kdray.knowledge.names.FORMAT", 0)
        written(store)
    with pytest.raises(StoreError, match="another format"):
        opened(store).gather(PLACES, np.zeros(4, dtype=np.int64))
    assert signature(KEY, COLUMN, 0, 0, PLACES)["format"] == 1


def test_a_view_that_is_not_recorded_is_refused_before_training(store: Store) -> None:
    written(store)
    with pytest.raises(StoreError, match="view 1, part 0 is not recorded"):
        opened(store, views=2)


@pytest.mark.parametrize(("place", "view"), [(4, 0), (3, 1)])
def test_a_place_or_view_outside_the_record_is_refused(
    store: Store, place: int, view: int
) -> None:
    written(store)
    with pytest.raises(StoreError, match="no such place or view"):
        opened(store).gather(np.array([place]), np.array([view]))


def test_a_remote_file_is_copied_once_to_the_cache(s3: str, tmp_path: Path) -> None:
    remote = Store(s3, cache=str(tmp_path / "cache"))
    values = written(remote)
    known = opened(remote)
    for reading in (known, opened(remote)):
        seen = reading.gather(PLACES, np.zeros(4, dtype=np.int64))["map/stage1"]
        np.testing.assert_array_equal(seen.numpy().reshape(4, 6), values)
        remote.write(file_of(KEY, COLUMN, 0, 0), b"never read again")


def test_the_file_of_a_record_is_read_without_kdray(
    store: Store, pool: Pool, views: Views
) -> None:
    teacher = small_net(seed=2)
    wanted: list[Asked] = [asked(method("hdkd"), small_net(), teacher)]
    record(store, teacher, wanted, pool, views)
    column = next(one for one in wanted[0].columns if one.name == "map/stage1")
    table = pa.ipc.open_file(store.path(file_of(KEY, column, 0, 0))).read_all()
    assert table["value"].type == pa.list_(pa.float16(), 4 * 8 * 8)


def test_too_many_mapped_files_are_no_damaged_record(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(store)

    def full(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("unable to mmap 96 bytes: Cannot allocate memory (12)")

    monkeypatch.setattr("torch.from_file", full)
    with pytest.raises(StoreError, match=r"maps too many files.*vm\.max_map_count"):
        opened(store).gather(PLACES, np.zeros(4, dtype=np.int64))
