"""The thread that writes beside the requests."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from kdray.errors import StoreError
from kdray_serve.records import background
from kdray_serve.records.background import Background


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_RETRY_S", 0.001)


def test_items_are_written_in_their_order_and_none_twice() -> None:
    written: list[int] = []
    queue = Background("test", written.extend)
    for number in range(1000):
        assert queue.put(number)
    queue.close()
    assert written == list(range(1000))
    assert queue.waiting == 0


def test_items_are_collected_until_there_are_enough() -> None:
    calls: list[list[int]] = []
    done = threading.Event()

    def write(items: list[int]) -> None:
        calls.append(items)
        done.set()

    queue = Background("test", write, every_s=3600, batch=3)
    for number in range(3):
        queue.put(number)
    assert done.wait(10)
    queue.close()
    assert calls == [[0, 1, 2]]


def test_closing_writes_what_was_collected() -> None:
    written: list[int] = []
    queue = Background("test", written.extend, every_s=3600)
    queue.put(1)
    queue.close()
    assert written == [1]


def failing(times: int, error: Exception, written: list[int]) -> Callable[[list[int]], None]:
    left = [error] * times

    def write(items: list[int]) -> None:
        if left:
            raise left.pop()
        written.extend(items)

    return write


def test_what_the_storage_refuses_is_tried_again() -> None:
    written: list[int] = []
    done = threading.Event()
    write = failing(3, StoreError("s3://ward", "cannot be written."), written)

    def told(items: list[int]) -> None:
        write(items)
        done.set()

    queue = Background("test", told)
    queue.put(1)
    assert done.wait(10)
    queue.close()
    assert written == [1]
    assert queue.failures == 3


def test_a_full_queue_takes_nothing_more() -> None:
    free = threading.Event()
    begun = threading.Event()

    def write(_items: list[int]) -> None:
        begun.set()
        free.wait(10)

    queue = Background("test", write, limit=2)
    queue.put(0)
    assert begun.wait(10)
    assert [queue.put(number) for number in (1, 2, 3)] == [True, True, False]
    assert queue.waiting == 3
    free.set()
    queue.close()


def test_closing_gives_up_on_a_storage_that_goes_on_refusing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = Background("test", failing(10**6, OSError("disk full"), []))
    queue.put(1)
    queue.close()
    assert "1 entries could not be written and are lost" in caplog.text


def test_an_error_of_ours_does_not_end_the_thread() -> None:
    written: list[int] = []
    queue = Background("test", failing(1, TypeError("ours"), written))
    queue.put(1)
    while queue.waiting:
        threading.Event().wait(0.001)
    queue.put(2)
    queue.close()
    assert written == [2]


def test_a_closed_queue_takes_nothing() -> None:
    queue = Background("test", lambda _items: None)
    queue.close()
    assert not queue.put(1)


def test_once_nothing_comes_for_a_while_it_is_told_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "_IDLE_S", 0.01)
    told, idle = [], threading.Event()

    def note() -> None:
        told.append(list(written))
        idle.set()

    written: list[int] = []
    queue = Background("test", written.extend, idle=note)
    for number in (1, 2):
        idle.clear()
        queue.put(number)
        assert idle.wait(20)
    queue.close()
    assert told[-1] == [1, 2]
    assert len(told) <= 3
