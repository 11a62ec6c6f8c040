from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdray.cli import _checks
from tests.launch.kube.api_server import ApiServer, serving

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


TARGET = """apiVersion: kdray/v1
kind: Target
name: lab
storage: {storage}
place: {{kind: kubernetes, namespace: lab, image: reg.example.org/kdray:1}}
"""


def test_a_cluster_is_looked_at_instead_of_this_machine(
    kdray: Kdray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab.yaml").write_text(TARGET.format(storage=tmp_path / "results"))
    with serving(ApiServer()) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        answer = kdray("doctor", "--to", "./lab.yaml")
    assert answer.code == 1  # no namespace
    words = [line.split()[:2] for line in answer.out.splitlines() if not line.startswith(" ")]
    assert words[:2] == [["ok", "cluster"], ["fail", "namespace"]]
    assert words[-1] == ["fail", "storage"]
    assert ["ok", "python"] not in words
    assert "kubectl create namespace lab" in answer.out
    assert "is on no volume of the target" in " ".join(answer.out.split())


def test_a_folder_of_the_nodes_is_not_made_on_this_machine(
    kdray: Kdray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    volume = f"volumes: [{{claim: data, path: {tmp_path}, read_only: false}}]"
    target = TARGET.format(storage=tmp_path / "results").replace(
        "lab, image", f"lab, {volume}, image"
    )
    (tmp_path / "lab.yaml").write_text(target)
    checks = json.loads(kdray("doctor", "--to", "./lab.yaml", "--json").out)
    assert [check["state"] for check in checks if check["name"] == "storage"] == ["note"]
    assert not (tmp_path / "results").exists()
    (tmp_path / "results").mkdir()
    checks = json.loads(kdray("doctor", "--to", "./lab.yaml", "--json").out)
    assert [check["state"] for check in checks if check["name"] == "storage"] == ["ok"]


def test_a_cluster_that_does_not_answer_fails_and_storage_is_still_looked_at(
    kdray: Kdray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    answer = kdray("doctor", "--to", "kubernetes", "--json")
    checks = json.loads(answer.out)
    assert [(check["name"], check["state"]) for check in checks] == [
        ("cluster", "fail"),
        ("storage", "note"),
    ]


def test_the_target_of_the_environment_is_looked_at(
    kdray: Kdray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("KDRAY_TARGET", address)
    answer = kdray("doctor")
    assert answer.code == 1
    assert f"Ray at {address} does not answer" in answer.out
