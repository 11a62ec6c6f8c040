"""``kdray logs`` of a job whose cluster is gone, or does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdray.cli import logs
from kdray.errors import LaunchError
from kdray.run.journal import Journal
from kdray.run.output import Pieces
from kdray.store import Store

Kdray = Callable[..., Any]


class Gone:
    """A place that knows nothing of any job any more."""

    def logs(self, id: str, follow: bool) -> Iterator[str]:
        raise LaunchError("Ray at http://head:8265", "does not answer.")


class Job:
    """A job as the verbs find it; each further look adds a line to its log, the last is its end.

    Args:
        store: Its storage.
        lines: What is added.
    """

    job = id = "tiny"
    uri = ""
    is_here = False
    journal: dict[str, Any] | None = {"state": "running"}  # noqa: RUF012 - never changed

    def __init__(self, store: Store, lines: list[str]) -> None:
        self.store, self.place = store, Gone()
        self._pieces, self._lines = Pieces(store, "tiny"), lines

    @property
    def is_over(self) -> bool:
        return not self._lines

    def again(self) -> Job:
        if self._lines:
            self.say(self._lines.pop(0))
        return self

    def say(self, line: str) -> None:
        self._pieces.add(f"{line}\n".encode())
        self._pieces.flush()


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    store = Store(str(tmp_path / "lab"))
    with Journal(store, "tiny") as journal:
        journal.event("job_started", steps=[])
    found = Job(store, ["epoch 2", "epoch 3"])
    monkeypatch.setattr(logs, "find", lambda *_: found)
    monkeypatch.setattr(logs, "LOOK_S", (0, 0))
    return found


def test_the_log_is_read_from_the_storage_where_the_cluster_is_gone(
    kdray: Kdray, job: Job
) -> None:
    job.say("epoch 1")
    said = kdray("logs", "tiny")
    assert (said.code, said.out) == (0, "epoch 1\n")
    assert "does not answer. This is what the storage has:" in said.err


def test_it_is_followed_there_to_the_end_of_the_job(kdray: Kdray, job: Job) -> None:
    job.say("epoch 1")
    assert kdray("logs", "tiny", "-f").out == "epoch 1\nepoch 2\nepoch 3\n"


def test_a_driver_that_kept_no_log_is_told_by_its_events(kdray: Kdray, job: Job) -> None:
    assert "job started" in kdray("logs", "tiny").out
