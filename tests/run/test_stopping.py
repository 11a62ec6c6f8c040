from __future__ import annotations

import _thread
import threading
from pathlib import Path
from typing import Any

import pytest

from kdray.errors import Stopped
from kdray.run import job
from kdray.run.journal import Journal, read_events, read_state
from kdray.store import Store

#: Longer than any wait of these tests, seconds.
PATIENCE_S = 60.0


def test_ctrl_c_ends_the_work_in_its_own_thread_once_it_is_written_down(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    seen: list[tuple[Any, bool, list[str]]] = []

    def work() -> list[dict[str, Any]]:
        _thread.interrupt_main()
        never = threading.Event()
        try:
            while not never.wait(0.01):  # in short turns, as what waits for Ray does
                pass
        finally:
            journal.event("note", text="from a thread that still runs")
            state = (read_state(store, "tiny") or {})["state"]
            kinds = [event["kind"] for event in read_events(store, "tiny")]
            seen.append((state, store.exists("jobs/tiny/lock"), kinds))
        return []

    journal = Journal(store, "tiny")
    with pytest.raises(Stopped), journal:
        job._interruptible(work, journal)
    assert seen == [("stopped", True, ["job_stopped"])]
    assert [event["kind"] for event in read_events(store, "tiny")] == seen[0][2]
    assert not store.exists("jobs/tiny/lock")


def test_work_that_cannot_be_reached_is_left_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_PATIENCE_S", 0.0)
    end, ended = threading.Event(), threading.Event()

    def work() -> list[dict[str, Any]]:
        _thread.interrupt_main()
        try:
            end.wait(PATIENCE_S)  # one long wait: nothing can be raised in it
        finally:
            ended.set()
        return []

    journal = Journal(Store(str(tmp_path)), "tiny")
    with pytest.raises(Stopped), journal:
        job._interruptible(work, journal)
    assert not ended.is_set()
    end.set()
    assert ended.wait(PATIENCE_S)
