from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdray.errors import RunError
from kdray.launch import local
from kdray.launch.here import Here
from kdray.launch.place import LAUNCH, Order
from kdray.run.journal import Journal, read_state
from kdray.spec.target import Local
from kdray.store import Store

#: A driver that says that it runs, and ends when it is told to.
DRIVER = """
import os, sys, time
from kdray.run.journal import Journal
from kdray.store import Store
print("the driver speaks", flush=True)
with Journal(Store(sys.argv[1]), "tiny"):
    while not os.path.exists(sys.argv[1] + "/go"):
        time.sleep(0.01)
print("and ends", flush=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "runs"))


@pytest.fixture
def order(store: Store) -> Order:
    return Order("tiny", "Experiment", "tiny-1a2b3c4d", "", "job.yaml", store.uri)


@pytest.fixture
def here(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """Return this machine with a driver that only waits; it does not outlive the test."""
    command = [sys.executable, "-c", DRIVER, store.uri]
    monkeypatch.setattr(local, "command_of", lambda file, sets: command)
    place = Here(Local(kind="local"), store.uri)
    yield place
    pid = int((read_state(store, "tiny") or {}).get("pid") or 0)
    if pid and pid != os.getpid():
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return


def end(store: Store) -> None:
    Path(store.uri, "go").touch()


def test_a_job_is_started_once_and_waited_for(here: Here, order: Order, store: Store) -> None:
    sent = here.submit(order)
    again = here.submit(order)
    assert (sent.attached, again.attached) == (False, True)
    assert again.seen.process == sent.seen.process
    with pytest.raises(RunError, match="runs already, as process"):
        here.submit(order, new=True)
    end(store)
    assert here.wait(sent).state == "finished"
    seen = here.look("tiny")
    assert seen is not None
    assert (seen.state, seen.ended is not None) == ("finished", True)
    assert [one.job for one in here.jobs()] == ["tiny"]


def test_a_followed_log_ends_with_its_job(here: Here, order: Order, store: Store) -> None:
    here.submit(order)
    lines = here.logs("tiny", follow=True)
    assert next(lines) == "the driver speaks\n"
    end(store)
    assert "".join(lines).endswith("and ends\n")


def test_a_stopped_job_is_stopped(here: Here, order: Order) -> None:
    here.submit(order)
    assert here.stop("tiny", 60.0).startswith("tiny is stopped.")
    seen = here.look("tiny")
    assert seen is not None
    assert seen.state == "stopped"


def test_a_job_that_is_not_there_is_not_seen(here: Here) -> None:
    assert here.look("tiny") is None
    assert here.jobs() == []
    assert list(here.logs("tiny")) == []


def test_a_driver_started_here_does_not_inherit_the_id_of_a_launch(
    here: Here, order: Order, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LAUNCH, "other-1a2b3c4d")
    here.submit(order)
    assert (read_state(store, "tiny") or {})["launch"] == ""


def test_a_driver_writes_the_id_under_which_a_place_knows_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LAUNCH, "tiny-1a2b3c4d")
    with Journal(store, "tiny"):
        assert (read_state(store, "tiny") or {})["launch"] == "tiny-1a2b3c4d"


def test_the_driver_of_a_job_file_gets_its_overrides(tmp_path: Path) -> None:
    words = local.command_of(str(tmp_path / "job.yaml"), ["storage.uri=s3://lab/runs"])
    assert words[-4:] == [
        str(tmp_path / "job.yaml"),
        "--plain",
        "--set",
        "storage.uri=s3://lab/runs",
    ]
