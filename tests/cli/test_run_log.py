"""What ``kdray run`` leaves in the storage of what it printed, however it ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdray.errors import RunError
from kdray.run import job as jobs
from kdray.run.journal import Journal, Listener, read_state
from kdray.run.output import stored_log
from kdray.spec import Experiment
from kdray.store import Store

Kdray = Callable[..., Any]


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Give the signals back that a driver takes."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def lab(kdray: Kdray, spec: Path) -> Store:
    """Return the storage of the job file."""
    spec.write_text(spec.read_text().replace("methods: []", "methods: [none]"))
    return Store(str(spec.parent / "lab"))


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Return a function that says how every job ends after its first event."""

    def choose(end: Callable[[], Any]) -> None:
        def run_job(
            job: Experiment, spec: str, listeners: tuple[Listener, ...], **_given: object
        ) -> None:
            with Journal(Store(job.storage.uri), job.name, listeners) as journal:
                journal.event("job_started", steps=[])
                end()

        monkeypatch.setattr(jobs, "run_job", run_job)

    return choose


def test_sigterm_stops_a_driver_as_ctrl_c_does(
    kdray: Kdray, lab: Store, ends: Callable[..., None]
) -> None:
    def ask_twice() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)  # it is being stopped already

    ends(ask_twice)
    said = kdray("run", "job.yaml", "--plain", "--log-to-storage")
    assert (said.code, said.err) == (130, "")
    assert (read_state(lab, "tiny") or {})["state"] == "stopped"
    lines = "".join(stored_log(lab, "tiny")).splitlines()
    assert "job started" in lines[0]
    assert lines[-1] == "Stopped."


def test_a_failure_is_in_the_log_of_the_storage(
    kdray: Kdray, lab: Store, ends: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RunError("search", "every trial failed.")

    ends(fail)
    monkeypatch.setenv("KDRAY_LOG_TO_STORAGE", "1")
    said = kdray("run", "job.yaml", "--plain")
    assert (said.code, said.err) == (1, "error search: every trial failed.\n")
    kept = "".join(stored_log(lab, "tiny"))
    assert kept == f"{said.out}error search: every trial failed.\n"


def test_nobody_asks_for_the_log_of_a_run_by_hand(
    kdray: Kdray, lab: Store, ends: Callable[..., None]
) -> None:
    ends(lambda: signal.raise_signal(signal.SIGINT))
    assert kdray("run", "job.yaml").code == 130
    assert not lab.exists("jobs/tiny/log")


@pytest.mark.parametrize(
    ("launch", "command"), [("", "kdray run job.yaml"), ("tiny-1a2b3c4d", "kdray submit")]
)
def test_a_driver_at_a_cluster_is_continued_by_sending_its_job_again(
    kdray: Kdray, lab: Store, monkeypatch: pytest.MonkeyPatch, launch: str, command: str
) -> None:
    given: dict[str, object] = {}

    def run_job(*_: object, **facts: object) -> None:
        given.update(facts)
        raise RunError("search", "every trial failed.")

    monkeypatch.setattr(jobs, "run_job", run_job)
    monkeypatch.setenv("KDRAY_LAUNCH", launch)
    kdray("run", "job.yaml")
    assert given["command"] == command
