from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdray.errors import JobError, RunError, StoreError
from kdray.launch import local
from kdray.run.journal import Journal, read_state
from kdray.store import Store

#: A driver that does nothing but say that it runs, until it is stopped.
WAITS = """
import sys, time
from kdray.run.journal import Journal
from kdray.store import Store
print("the driver speaks", flush=True)
with Journal(Store(sys.argv[1]), "tiny"):
    time.sleep(60)
"""
IS_DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + WAITS
ENDS = """
import sys
from kdray.run.journal import Journal
from kdray.store import Store
with Journal(Store(sys.argv[1]), "tiny"):
    pass
"""
FAILS = "import sys; print('no such data'); sys.exit(3)"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "runs"))


@pytest.fixture
def drivers() -> Iterator[list[int]]:
    """Collect process numbers, and see to it that none of them outlives the test."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def command(code: str, store: Store) -> list[str]:
    return [sys.executable, "-c", code, store.uri]


def test_a_started_driver_runs_in_a_session_of_its_own(store: Store, drivers: list[int]) -> None:
    started = local.start(command(WAITS, store), store, "tiny")
    drivers.append(started.pid)
    assert (started.state, started.attached) == ("running", False)
    assert os.getsid(started.pid) == started.pid


def test_what_a_driver_prints_is_in_its_log(store: Store, drivers: list[int]) -> None:
    started = local.start(command(WAITS, store), store, "tiny")
    drivers.append(started.pid)
    assert Path(started.log).read_text() == "the driver speaks\n"


def test_a_job_that_runs_is_not_started_again(store: Store, drivers: list[int]) -> None:
    first = local.start(command(WAITS, store), store, "tiny")
    drivers.append(first.pid)
    second = local.start(command(FAILS, store), store, "tiny")
    assert (second.pid, second.attached) == (first.pid, True)


def test_a_driver_that_is_refused_leads_to_the_one_that_runs(
    store: Store, drivers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = local.start(command(WAITS, store), store, "tiny")
    drivers.append(first.pid)
    seen = iter([None])  # as if both had been submitted in the same moment
    real = local.running
    monkeypatch.setattr(local, "running", lambda *job: next(seen, real(*job)))
    second = local.start(command(WAITS, store), store, "tiny")
    assert (second.pid, second.attached) == (first.pid, True)


def test_a_driver_that_ends_at_once_is_reported_with_its_words_and_exit_code(
    store: Store,
) -> None:
    with pytest.raises(RunError) as failed:
        local.start(command(FAILS, store), store, "tiny")
    assert "exit code 3" in str(failed.value)
    assert "no such data" in str(failed.value)


def test_only_the_words_of_the_last_start_are_reported(store: Store) -> None:
    with pytest.raises(RunError):
        local.start(command(FAILS, store), store, "tiny")
    with pytest.raises(RunError) as failed:
        local.start(command("print('later'); exit(4)", store), store, "tiny")
    assert "later" in str(failed.value)
    assert "no such data" not in str(failed.value)


def test_a_driver_with_nothing_to_do_is_finished(store: Store) -> None:
    begun = local.start(command(ENDS, store), store, "tiny")
    assert begun.state in ("running", "finished")  # whatever it was when it was looked at
    assert local.wait_for(store, begun)["state"] == "finished"


def test_a_driver_that_says_nothing_in_time_is_starting(store: Store, drivers: list[int]) -> None:
    started = local.start(command("input()", store), store, "tiny", wait_s=0.0)
    drivers.append(started.pid)
    assert started.state == "starting"


def test_one_can_wait_for_the_end_of_a_job(store: Store) -> None:
    code = "import os, time\n" + ENDS.replace(
        "pass", "while not os.path.exists(sys.argv[1] + '/go'): time.sleep(0.01)"
    )
    started = local.start(command(code, store), store, "tiny")
    assert started.state == "running"
    Path(store.uri, "go").touch()
    assert local.wait_for(store, started)["state"] == "finished"


def test_a_driver_that_dies_before_it_says_anything_is_not_waited_for(store: Store) -> None:
    with Journal(store, "tiny"):
        pass  # an earlier run, which finished
    started = local.start(command("input()", store), store, "tiny", wait_s=0.0)
    state = local.wait_for(store, started)
    assert state["state"] == "failed"
    assert started.log in state["error"]


def test_a_stopped_driver_ends_its_job_itself(store: Store, drivers: list[int]) -> None:
    drivers.append(local.start(command(WAITS, store), store, "tiny").pid)
    said = local.stop(store, "tiny")
    assert said == "tiny is stopped. Run or submit it again to continue."
    state = read_state(store, "tiny")
    assert state is not None
    assert state["state"] == "stopped"


def test_a_driver_that_does_not_listen_is_terminated(store: Store, drivers: list[int]) -> None:
    drivers.append(local.start(command(IS_DEAF, store), store, "tiny").pid)
    told: list[str] = []
    local.stop(store, "tiny", wait_s=0.0, tell=told.append)
    assert [line.split()[1] for line in told] == ["SIGINT", "SIGTERM"]
    state = read_state(store, "tiny")
    assert state is not None
    assert state["state"] == "stopped"


def test_a_finished_job_is_not_stopped(store: Store) -> None:
    with Journal(store, "tiny"):
        pass
    assert local.stop(store, "tiny") == "tiny is finished: there is nothing to stop."


def test_a_lost_job_is_marked_as_stopped(store: Store) -> None:
    code = WAITS.replace("time.sleep(60)", "import os; os._exit(9)")
    subprocess.run(command(code, store), check=False, stdout=subprocess.DEVNULL)
    assert "had lost its driver" in local.stop(store, "tiny")
    state = read_state(store, "tiny")
    assert state is not None
    assert state["state"] == "stopped"


def test_a_job_that_is_not_there_cannot_be_stopped(store: Store) -> None:
    with pytest.raises(JobError, match="no such job"):
        local.stop(store, "tiny")


def test_a_job_of_another_host_is_stopped_there(store: Store) -> None:
    with Journal(store, "tiny") as journal:
        journal.state(host="elsewhere")
        with pytest.raises(RunError, match="Call `kdray stop tiny` there"):
            local.stop(store, "tiny")


def test_a_storage_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(str(tmp_path / "file" / "runs"))
    with pytest.raises(StoreError, match="cannot be"):
        local.start(command(ENDS, store), store, "tiny")


def test_the_log_of_a_local_storage_lies_with_the_job(store: Store) -> None:
    assert local.log_path(store, "tiny") == Path(store.uri, "jobs", "tiny", "log.txt")


def test_the_log_of_a_remote_storage_lies_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    store = Store("s3://bucket/lab?endpoint_override=localhost:9&anonymous=true")
    expected = tmp_path / ".cache" / "kdray" / "logs" / "bucket" / "lab" / "jobs" / "tiny"
    assert local.log_path(store, "tiny") == expected / "log.txt"


def test_the_tail_of_a_log_has_no_empty_lines(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("one\n\ntwo\n\nthree\n")
    assert local.tail(log, lines=2) == ["two", "three"]
    assert local.tail(tmp_path / "none.txt") == []
