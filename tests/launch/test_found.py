from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdray.launch.found import merged
from kdray.launch.place import Sighting
from kdray.launch.record import storage_seen
from kdray.launch.sending import exit_code
from kdray.launch.targets import find_target

RAY = find_target("http://head:8265", {})


@pytest.mark.parametrize(
    ("written", "shown", "state"),
    [
        (None, "pending", "pending"),  # not begun
        (None, "failed", "failed"),  # killed before it could write
        (None, None, "lost"),  # forgotten
        ("running", "running", "running"),
        ("running", "failed", "failed"),  # killed
        ("running", "stopped", "stopped"),
        ("lost", "running", "running"),  # silent, and alive
        ("lost", "failed", "failed"),
        ("failed", "failed", "failed"),
        ("failed", "pending", "pending"),  # tried again
        ("failed", "running", "running"),
        ("stopped", "failed", "stopped"),  # the place only sees an exit code
        ("finished", "running", "finished"),  # about to leave
        ("finished", "failed", "finished"),
        ("failed", None, "failed"),
        ("running", None, "running"),
    ],
)
def test_the_driver_tells_how_it_ended_and_the_place_whether_it_runs(
    written: str | None, shown: Any, state: str
) -> None:
    journal = None if written is None else {"state": written, "error": ""}
    seen = None if shown is None else Sighting("tiny", "tiny-1", shown)
    assert merged(journal, seen)[0] == state


def test_the_reason_is_that_of_whoever_tells_the_state() -> None:
    failed = Sighting("tiny", "tiny-1", "failed", "exit code 1")
    assert merged({"state": "failed", "error": "no images"}, failed)[1] == "no images"
    assert merged({"state": "failed", "error": ""}, failed)[1] == "exit code 1"
    assert merged({"state": "running", "error": ""}, failed)[1] == "exit code 1"
    waits = Sighting("tiny", "tiny-1", "pending", "is tried again")
    assert merged({"state": "failed", "error": "no images"}, waits)[1] == "is tried again"


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("finished", 0, 0),
        ("stopped", 1, 130),
        ("failed", 2, 2),
        ("failed", 1, 1),
        ("lost", None, 1),
    ],
)
def test_exit_codes_say_how_a_job_ended(state: Any, code: int | None, expected: int) -> None:
    assert exit_code(state, Sighting("tiny", "tiny-1", state, exit_code=code)) == expected


def test_a_folder_of_a_cluster_is_seen_here_only_if_it_is_here(tmp_path: Path) -> None:
    assert storage_seen(str(tmp_path), RAY) is not None
    assert storage_seen(str(tmp_path / "none"), RAY) is None
    assert storage_seen(str(tmp_path / "none"), find_target("local", {})) is not None
    assert storage_seen("", RAY) is None
