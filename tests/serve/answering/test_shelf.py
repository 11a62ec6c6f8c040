"""Loaded models: each loaded once, those used longest ago leave first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from kdray.errors import RegistryError
from kdray_serve.answering.shelf import REMEMBERED, Shelf


@dataclass(frozen=True)
class Thing:
    name: str
    bytes: int = 10


@dataclass
class Loading:
    """Counts what is loaded, and can be made to fail."""

    loads: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    hold: Callable[[], object] = lambda: None

    def __call__(self, name: str) -> Thing:
        self.hold()
        self.loads.append(name)
        if name in self.broken:
            raise RegistryError(name, "is damaged.")
        return Thing(name)


@pytest.fixture
def loading() -> Loading:
    return Loading()


def test_a_thing_is_loaded_once_however_many_ask_at_once(loading: Loading) -> None:
    go = threading.Event()
    loading.hold = lambda: go.wait(10)
    shelf = Shelf(loading, budget=100)

    def use() -> Thing:
        with shelf.use("a") as thing:
            return thing

    with ThreadPoolExecutor(10) as threads:
        found = [threads.submit(use) for _ in range(10)]
        go.set()
        assert {future.result() for future in found} == {Thing("a")}
    assert loading.loads == ["a"]


def test_two_things_are_loaded_side_by_side(loading: Loading) -> None:
    both = threading.Barrier(2, timeout=10)
    loading.hold = both.wait  # ends only when the other is being loaded too
    shelf = Shelf(loading, budget=100)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(shelf.warm, ["a", "b"]))
    assert shelf.has("a")
    assert shelf.has("b")


def test_what_was_used_longest_ago_leaves_first(loading: Loading) -> None:
    shelf = Shelf(loading, budget=25)
    for name in ("a", "b", "a", "c"):
        shelf.warm(name)
    assert list(shelf.items()) == ["a", "c"]
    shelf.warm("b")
    assert loading.loads == ["a", "b", "c", "b"]


def test_what_is_in_use_stays_and_leaves_afterwards(loading: Loading) -> None:
    shelf = Shelf(loading, budget=15)
    with shelf.use("a") as thing, shelf.use("b"):
        assert list(shelf.items()) == ["a", "b"]
        with shelf.use("a") as again:
            assert again is thing
    assert list(shelf.items()) == ["a"]
    assert loading.loads == ["a", "b"]


def test_one_thing_larger_than_the_budget_is_kept(loading: Loading) -> None:
    shelf = Shelf(loading, budget=1)
    shelf.warm("a")
    shelf.warm("a")
    assert loading.loads == ["a"]


def test_a_failure_is_told_to_all_and_remembered_for_some_seconds(loading: Loading) -> None:
    now = [0.0]
    loading.broken.add("a")
    shelf = Shelf(loading, budget=100, clock=lambda: now[0])
    for _ in range(3):
        with pytest.raises(RegistryError, match="damaged"):
            shelf.warm("a")
    assert loading.loads == ["a"]
    assert not shelf.has("a")
    loading.broken.clear()
    now[0] = REMEMBERED
    shelf.warm("a")
    assert shelf.has("a")


def test_those_who_wait_for_a_load_that_fails_are_told(loading: Loading) -> None:
    loading.broken.add("a")
    go = threading.Event()
    loading.hold = lambda: go.wait(10)
    shelf = Shelf(loading, budget=100)
    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(shelf.warm, "a") for _ in range(4)]
        go.set()
        assert all(isinstance(future.exception(), RegistryError) for future in found)
    assert loading.loads == ["a"]


def test_each_change_is_told_with_number_and_bytes(loading: Loading) -> None:
    told: list[tuple[int, int]] = []
    shelf = Shelf(loading, 25, lambda count, total: told.append((count, total)))
    for name in ("a", "b", "c", "c"):
        shelf.warm(name)
    assert told[:2] == [(1, 10), (2, 20)]
    assert told[-1] == (2, 20)


def test_hundreds_of_uses_at_once_leave_the_shelf_within_its_budget(loading: Loading) -> None:
    shelf = Shelf(loading, budget=30)

    def use(number: int) -> str:
        with shelf.use("abcdefgh"[number % 8]) as thing:
            return thing.name

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(use, range(400))) == ["abcdefgh"[n % 8] for n in range(400)]
    assert len(shelf.items()) <= 3
