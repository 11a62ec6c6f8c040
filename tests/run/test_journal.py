from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kdray.errors import RunError, Stopped
from kdray.run import driver
from kdray.run.driver import SILENT_S, Claim, this_driver
from kdray.run.journal import Journal, close_lost, list_jobs, read_events, read_state
from kdray.run.lines import Lines, read_lines
from kdray.store import Store

DRIVER = """
import os, sys
from kdray.run.journal import Journal
from kdray.store import Store
journal = Journal(Store(sys.argv[1]), "tiny").__enter__()
journal.event("job_started", steps=[{"id": "a", "label": "a", "state": "waiting"}])
journal.event("step_started", "a")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "runs"))


@pytest.fixture
def remote(s3: str) -> Store:
    """Return a store whose files cannot be appended to."""
    return Store(s3)


@pytest.fixture
def living(store: Store) -> Iterator[subprocess.Popen[str]]:
    """Run a driver of the job ``tiny`` in a process of its own."""
    command = [sys.executable, "-c", DRIVER, store.uri]
    process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.fixture
def killed(living: subprocess.Popen[str]) -> int:
    living.send_signal(signal.SIGKILL)
    return living.wait()


def kinds(store: Store) -> list[str]:
    return [event["kind"] for event in read_events(store, "tiny")]


def test_events_come_back_in_their_order_with_time_and_facts(store: Store) -> None:
    journal = Journal(store, "tiny", clock=lambda: 12.3456)
    journal.event("step_started", "a")
    journal.event("epoch", "a", run="cnn5", epoch=1, epochs=2, loss=0.5)
    assert read_events(store, "tiny") == [
        {"time": 12.346, "kind": "step_started", "step": "a"},
        {
            "time": 12.346,
            "kind": "epoch",
            "step": "a",
            "run": "cnn5",
            "epoch": 1,
            "epochs": 2,
            "loss": 0.5,
        },
    ]


def test_a_half_written_last_line_is_left_out(store: Store) -> None:
    Journal(store, "tiny").event("note", text="whole")
    with open(store.path("jobs/tiny/events.jsonl"), "a") as file:
        file.write('{"time": 1, "kind": "no')
    assert kinds(store) == ["note"]


def test_what_follows_a_half_written_line_is_not_lost(store: Store) -> None:
    Journal(store, "tiny").event("note", text="whole")
    with open(store.path("jobs/tiny/events.jsonl"), "a") as file:
        file.write('{"time": 1, "kind": "no')
    Journal(store, "tiny").event("job_stopped")
    assert kinds(store) == ["note", "job_stopped"]


def test_numbers_that_json_does_not_know_become_null_or_pythons(store: Store) -> None:
    facts = {"loss": math.nan, "score": np.float32(0.5), "params": {"alpha": math.inf}}
    Journal(store, "tiny").event("trial", "a", number=np.int64(3), **facts)
    line = Path(store.path("jobs/tiny/events.jsonl")).read_text()
    event = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (event["loss"], event["score"], event["number"]) == (None, 0.5, 3)
    assert event["params"] == {"alpha": None}


def test_events_of_many_threads_are_all_kept_whole(store: Store) -> None:
    journal = Journal(store, "tiny")
    threads = [
        threading.Thread(target=lambda: [journal.event("note", text="x" * 999) for _ in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds(store) == ["note"] * 80


def test_listeners_hear_each_event(store: Store) -> None:
    heard: list[str] = []
    journal = Journal(store, "tiny", [lambda event: heard.append(event["kind"])])
    journal.event("job_started", steps=[])
    journal.event("note", text="hello")
    assert heard == ["job_started", "note"]


def test_the_state_says_who_drives_the_job_and_at_which_step_it_is(store: Store) -> None:
    with Journal(store, "tiny") as journal:
        journal.state(spec="job.yaml", command="kdray run job.yaml")
        journal.event("job_started", steps=[])
        journal.event("step_started", "prepare")
        state = read_state(store, "tiny")
    assert state is not None
    assert (state["state"], state["step"], state["spec"]) == ("running", "prepare", "job.yaml")
    assert (state["pid"], state["host"]) == (os.getpid(), socket.gethostname())


def test_a_job_that_was_not_started_has_no_state(store: Store) -> None:
    assert read_state(store, "tiny") is None


def test_a_job_left_without_an_error_is_finished(store: Store) -> None:
    with Journal(store, "tiny") as journal:
        journal.event("job_started", steps=[])
    state = read_state(store, "tiny")
    assert state is not None
    assert state["state"] == "finished"
    assert kinds(store) == ["job_started", "job_finished"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Stopped("", "Stopped.")])
def test_a_job_left_by_an_interrupt_is_stopped(store: Store, error: BaseException) -> None:
    with pytest.raises(type(error)), Journal(store, "tiny"):
        raise error
    state = read_state(store, "tiny")
    assert state is not None
    assert (state["state"], state["error"]) == ("stopped", "")


def test_a_job_left_by_an_error_is_failed_and_says_why(store: Store) -> None:
    with pytest.raises(RunError), Journal(store, "tiny"):
        raise RunError("search", "no trial finished.")
    state = read_state(store, "tiny")
    assert state is not None
    assert (state["state"], state["error"]) == ("failed", "search: no trial finished.")


def test_an_end_that_was_told_is_not_told_twice(store: Store) -> None:
    with Journal(store, "tiny") as journal:
        journal.event("job_started", steps=[])
        journal.event("job_stopped")
    assert kinds(store) == ["job_started", "job_stopped"]


def test_what_a_thread_tells_after_the_end_is_dropped(store: Store) -> None:
    with Journal(store, "tiny") as journal:
        pass
    journal.event("step_started", "late")
    state = read_state(store, "tiny")
    assert state is not None
    assert (state["state"], kinds(store)) == ("finished", ["job_finished"])


def test_a_running_driver_keeps_others_away_and_says_how_to_follow_it(
    store: Store, living: subprocess.Popen[str]
) -> None:
    with pytest.raises(RunError) as refused, Journal(store, "tiny"):
        pytest.fail("two drivers run one job")
    assert f"process {living.pid} on {socket.gethostname()}" in str(refused.value)
    assert f"`kdray logs -f tiny --storage {store.uri}`" in str(refused.value)


def test_a_driver_that_is_refused_changes_nothing(
    store: Store, living: subprocess.Popen[str]
) -> None:
    before = read_state(store, "tiny"), kinds(store)
    with pytest.raises(RunError), Journal(store, "tiny"):
        pytest.fail("two drivers run one job")
    assert (read_state(store, "tiny"), kinds(store)) == before


def test_a_killed_driver_leaves_a_lost_job_that_says_how_to_go_on(
    store: Store, killed: int
) -> None:
    state = read_state(store, "tiny")
    assert state is not None
    assert state["state"] == "lost"
    assert "kdray run" in state["error"]


def test_a_killed_drivers_job_can_be_driven_again(store: Store, killed: int) -> None:
    with Journal(store, "tiny") as journal:
        journal.event("job_started", steps=[])
    state = read_state(store, "tiny")
    assert state is not None
    assert state["state"] == "finished"


def test_a_lost_job_can_be_marked_as_stopped(store: Store, killed: int) -> None:
    close_lost(store, "tiny")
    state = read_state(store, "tiny")
    assert state is not None
    assert (state["state"], kinds(store)[-1]) == ("stopped", "job_stopped")


def test_a_lock_goes_when_its_driver_leaves(store: Store) -> None:
    with Journal(store, "tiny"):
        assert store.exists("jobs/tiny/lock")
    assert not store.exists("jobs/tiny/lock")


def test_a_process_with_the_number_of_a_dead_driver_is_not_taken_for_it(store: Store) -> None:
    older = {**this_driver(), "born": "1"}
    store.write_json("jobs/tiny/state.json", {"job": "tiny", "state": "running", **older})
    state = read_state(store, "tiny")
    assert state is not None
    assert state["state"] == "lost"


@pytest.mark.parametrize(("age_s", "expected"), [(1.0, "running"), (SILENT_S + 9, "lost")])
def test_a_driver_on_another_host_is_lost_when_it_gives_no_sign(
    store: Store, age_s: float, expected: str
) -> None:
    away = {"job": "tiny", "pid": os.getpid(), "host": "elsewhere"}
    store.write_json("jobs/tiny/state.json", {**away, "state": "running"})
    store.write_json("jobs/tiny/lock", {**away, "updated": time.time() - age_s})
    state = read_state(store, "tiny")
    assert state is not None
    assert state["state"] == expected


def test_a_silent_driver_on_another_host_is_replaced_after_a_while(store: Store) -> None:
    store.write_json("jobs/tiny/lock", {"pid": 1, "host": "elsewhere", "updated": 0})
    waited: list[float] = []
    Claim(store, "tiny", sleep=waited.append)
    assert sum(waited) == SILENT_S


def test_a_driver_on_another_host_that_gives_a_sign_is_left_alone(store: Store) -> None:
    lock = {"pid": 1, "host": "elsewhere", "updated": 0}
    store.write_json("jobs/tiny/lock", lock)

    def sleep(_: float) -> None:
        store.write_json("jobs/tiny/lock", {**lock, "updated": 15})

    with pytest.raises(RunError, match="process 1 on elsewhere"):
        Claim(store, "tiny", sleep=sleep)


def test_a_driver_notices_that_another_has_taken_its_job(store: Store) -> None:
    claim = Claim(store, "tiny")
    assert claim.is_mine()
    store.write_json("jobs/tiny/lock", {"id": "other"})
    assert not claim.is_mine()
    claim.release()
    assert store.exists("jobs/tiny/lock")


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    born = this_driver()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not driver.is_alive({**born, "pid": process.pid, "born": ""})
    process.wait()


def test_jobs_are_listed_the_latest_first(store: Store) -> None:
    for name, started in (("old", 1.0), ("new", 2.0)):
        with Journal(store, name, clock=lambda now=started: now):
            pass
    store.write_json("jobs/empty/job.json", {})
    assert [state["job"] for state in list_jobs(store)] == ["new", "old"]


def test_remote_lines_wait_for_a_flush_and_come_back_in_order(remote: Store) -> None:
    lines = Lines(remote, "jobs/tiny/events.jsonl")
    lines.append("one")
    assert read_lines(remote, "jobs/tiny/events.jsonl") == []
    lines.flush()
    lines.append("two")
    lines.flush()
    Lines(remote, "jobs/tiny/events.jsonl").flush()
    later = Lines(remote, "jobs/tiny/events.jsonl")
    later.append("three")
    later.flush()
    assert read_lines(remote, "jobs/tiny/events.jsonl") == ["one", "two", "three"]
    assert remote.list("jobs/tiny/events.jsonl.d") == ["00000", "00001"]


def test_a_long_remote_segment_is_followed_by_another(
    remote: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdray.run.lines.SEGMENT_BYTES", 8)
    lines = Lines(remote, "jobs/tiny/events.jsonl")
    for word in ("first line", "second line"):
        lines.append(word)
        lines.flush()
    assert remote.list("jobs/tiny/events.jsonl.d") == ["00000", "00001"]
    assert read_lines(remote, "jobs/tiny/events.jsonl") == ["first line", "second line"]


def test_a_remote_journal_has_written_everything_when_it_is_left(
    remote: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with Journal(remote, "tiny") as journal:
        journal.event("job_started", steps=[])
    assert kinds(remote) == ["job_started", "job_finished"]
