"""A store in a folder and one on S3 behave alike."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Sequence

import pytest

from kdray.errors import StoreError
from kdray.store import DONE, Store


def test_what_is_written_is_read(store: Store) -> None:
    store.write("a/b.bin", memoryview(b"\x00\x01"))
    assert store.read("a/b.bin") == b"\x00\x01"


def test_what_is_not_there_reads_as_none(store: Store) -> None:
    assert store.read("a/b.bin") is None
    assert store.read_json("a.json") is None
    assert store.result("a") is None


def test_names_are_those_directly_below(store: Store) -> None:
    for name in ("a/one.txt", "a/deep/two.txt", "ab/three.txt", "a/.hidden"):
        store.write(name, b"x")
    assert store.list() == ["a", "ab"]
    assert store.list("a") == ["deep", "one.txt"]
    assert store.list("none") == []


def test_sizes_are_of_all_files_below(store: Store) -> None:
    store.write("a/one.txt", b"1")
    store.write("a/deep/two.txt", b"22")
    store.write("ab/three.txt", b"333")
    assert store.sizes("a") == {"one.txt": 1, "deep/two.txt": 2}
    assert store.sizes("none") == {}


def test_a_file_and_a_folder_exist_and_the_beginning_of_a_name_does_not(store: Store) -> None:
    store.write("a-b/one.txt", b"x")
    store.write("a/one.txt", b"x")
    assert [store.exists(name) for name in ("a", "a-b", "a/one.txt", "a/one")] == [
        *(True, True, True),
        False,
    ]


def test_deleting_a_folder_leaves_its_neighbours(store: Store) -> None:
    for name in ("a/one.txt", "a/deep/two.txt", "ab/three.txt"):
        store.write(name, b"x")
    store.delete("a")
    store.delete("none")
    assert store.sizes("") == {"ab/three.txt": 1}


def test_a_file_is_replaced_only_in_the_state_that_was_read(store: Store) -> None:
    assert store.replace("x", None, b"1")
    assert not store.replace("x", None, b"2")
    assert not store.replace("x", b"0", b"2")
    assert store.replace("x", b"1", b"2")
    assert store.read("x") == b"2"


def test_a_storage_tells_that_of_two_writers_one_wins(store: Store) -> None:
    assert store.decides("probe")


def at_once(acts: Sequence[Callable[[], object]]) -> int:
    """Start all acts at the same moment and return how many succeeded."""
    ready = threading.Barrier(len(acts))
    won: list[object] = []

    def act(one: Callable[[], object]) -> None:
        ready.wait()
        won.append(one())

    threads = [threading.Thread(target=act, args=(one,)) for one in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == len(acts)
    return sum(map(bool, won))


@pytest.mark.parametrize("old", [None, b"before"])
def test_of_writers_at_the_same_moment_one_wins(store: Store, old: bytes | None) -> None:
    others = [pickle.loads(pickle.dumps(store)) for _ in range(4)]  # a connection of its own each
    acts = [
        lambda other=other, number=number: other.replace("x", old, b"%d" % number)
        for number, other in enumerate(others)
    ]
    for _ in range(5):
        if old is not None:
            store.write("x", old)
        assert at_once(acts) == 1
        store.delete("x")


def test_a_published_folder_appears_with_its_result(store: Store) -> None:
    with store.publish("steps/a", {"score": 1}) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "map.bin").write_bytes(b"m")
        (folder / "one.txt").write_text("1")
        assert store.result("steps/a") is None
        assert store.list("steps") == []
    assert store.finished("steps/a") == store.result("steps/a") == {"score": 1}
    assert (store.fetch("steps/a") / "deep" / "map.bin").read_bytes() == b"m"
    assert store.read_in("steps/a", "one.txt") == b"1"
    assert store.read_in("steps/a", "two.txt") is None


def test_a_failed_writer_leaves_nothing(store: Store) -> None:
    with pytest.raises(FileNotFoundError), store.publish("steps/a", {}) as folder:
        (folder / "two.txt").write_text((folder / "one.txt").read_text())
    assert store.sizes("") == {}


def test_what_another_writer_finished_is_kept(store: Store) -> None:
    with store.publish("a", {"by": 1}) as first, store.publish("a", {"by": 2}) as second:
        (first / "one.txt").write_text("first")
        (second / "one.txt").write_text("second")
    # The inner one, the second, was done first.
    assert store.finished("a") == {"by": 2}
    assert store.read_in("a", "one.txt") == b"second"
    again = pickle.loads(pickle.dumps(store))
    assert (again.fetch("a") / "one.txt").read_text() == "second"
    assert len(store.sizes("a")) == 2


def test_of_publishers_at_the_same_moment_one_wins_with_its_own_files(store: Store) -> None:
    def publisher(number: int) -> Callable[[], bool]:
        def act() -> bool:
            with store.publish("a", {"by": number}) as folder:
                for name in "bcd":
                    (folder / name).write_text(str(number))
            return True

        return act

    at_once([publisher(number) for number in range(4)])
    winner = str(store.finished("a")["by"]).encode()
    assert {store.read_in("a", name) for name in "bcd"} == {winner}
    assert len(store.sizes("a")) == 4


def test_a_folder_that_is_not_finished_cannot_be_fetched(store: Store) -> None:
    store.write("a/one.txt", b"1")
    with pytest.raises(StoreError, match=r"lab/a: there is no finished result"):
        store.fetch("a")


def test_a_store_of_an_older_layout_is_read(store: Store) -> None:
    store.write("a/one.txt", b"1")
    store.write_json(f"a/{DONE}", {"score": 1})
    assert store.finished("a") == {"score": 1}
    assert (store.fetch("a") / "one.txt").read_text() == "1"
    assert store.read_in("a", "one.txt") == b"1"


def test_an_unknown_storage_is_refused() -> None:
    with pytest.raises(StoreError, match="no storage is called 'ftp'"):
        Store("ftp://here")
