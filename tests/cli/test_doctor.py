from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdray.cli import _checks

Kdray = Callable[..., Any]


def found(kdray: Kdray, *words: str) -> dict[str, dict[str, str]]:
    answer = kdray("doctor", "--quick", "--json", *words)
    return {check["name"]: check for check in json.loads(answer.out)}


def test_a_right_machine_has_no_failure(kdray: Kdray) -> None:
    answer = kdray("doctor", "--quick")
    assert answer.code == 0
    assert not [line for line in answer.out.splitlines() if line.startswith("fail")]


def test_the_doctor_leaves_nothing_in_the_storage(kdray: Kdray, tmp_path: Path) -> None:
    found(kdray, "--storage", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_cannot_be_written_fails_with_a_remedy(
    kdray: Kdray, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    answer = kdray("doctor", "--quick", "--storage", "file/runs")
    assert answer.code == 1
    assert "fail storage" in answer.out
    assert "--storage" in answer.out


def test_every_library_has_its_version(kdray: Kdray) -> None:
    checks = found(kdray)
    assert all(checks[name]["fact"][0].isdigit() for name in _checks.LIBRARIES.values())


def test_a_library_that_is_missing_fails() -> None:
    check = _checks._library("no_such_module", "no-such-module", importing=False)
    assert (check.state, bool(check.remedy)) == ("fail", True)


def test_a_taken_port_is_a_warning() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert _checks._port(taken.getsockname()[1]).state == "warn"


@pytest.mark.parametrize(("mode", "state"), [("disabled", "ok"), ("token", "ok"), ("on", "fail")])
def test_rays_authentication_mode_is_one_that_ray_knows(
    monkeypatch: pytest.MonkeyPatch, mode: str, state: str
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    assert _checks._authentication().state == state


@pytest.mark.parametrize(("kib", "state"), [(1_000_000, "warn"), (9_000_000, "ok")])
def test_little_memory_is_a_warning(tmp_path: Path, kib: int, state: str) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal:  99999999 kB\nMemAvailable:  {kib} kB\n")
    assert _checks._memory(meminfo).state == state
