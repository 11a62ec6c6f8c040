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


def test_a_stopped_job_has_written_it_down_before_ray_may_end_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    seen: list[tuple[Any, bool, list[str]]] = []
    done = threading.Event()

    def end_session() -> None:
        journal.event("note", text="from a thread that still runs")
        state = (read_state(store, "tiny") or {})["state"]
        kinds = [event["kind"] for event in read_events(store, "tiny")]
        seen.append((state, store.exists("jobs/tiny/lock"), kinds))
        done.set()

    def work() -> list[dict[str, Any]]:
        _thread.interrupt_main()
        done.wait(60)
        return []

    monkeypatch.setattr(job, "_end_session", end_session)
    journal = Journal(store, "tiny")
    with pytest.raises(Stopped), journal:
        job._interruptible(work, journal)
    assert seen == [("stopped", True, ["job_stopped"])]
    assert [event["kind"] for event in read_events(store, "tiny")] == seen[0][2]
    assert not store.exists("jobs/tiny/lock")
