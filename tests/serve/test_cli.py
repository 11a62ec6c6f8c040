"""The verb `serve`: from what the user wrote to the process that serves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kdray.cli import serve
from kdray.cli.main import build
from kdray.errors import JobError, JobErrors
from kdray.spec.service import ServedModel, Service
from kdray_serve import __main__ as process

SPEC = """
apiVersion: kdray/v1
kind: Service
name: ward
registry: shelf
models: [brain@3, {name: liver, version: candidate}]
explain: [featuremaps]
limits: {max_upload_mb: 2}
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect the specs that would be served, instead of serving them."""
    specs: list[dict[str, Any]] = []

    class Child:
        def __init__(self, command: list[str]) -> None:
            assert command[:3] == [sys.executable, "-m", "kdray_serve"]
            assert command[3] == "--config"
            spec = json.loads(Path(command[4]).read_text())
            specs.append({**spec, "flags": command[5:]})

        def wait(self) -> int:
            return 7

    monkeypatch.setattr(serve.subprocess, "Popen", Child)
    return specs


def run(*words: str | Path) -> int:
    """Return the exit code of the command."""
    result = CliRunner().invoke(build(), ["serve", *map(str, words)], standalone_mode=False)
    if result.exception:
        raise result.exception
    return int(result.return_value)


def test_a_spec_is_served_as_written(started: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "ward.yaml").write_text(SPEC)
    run(tmp_path / "ward.yaml")
    [spec] = started
    assert spec["registry"] == "shelf"
    assert [(m["name"], m["version"]) for m in spec["models"]] == [
        ("brain", "3"),
        ("liver", "candidate"),
    ]
    assert spec["limits"]["max_upload_mb"] == 2


def test_options_override_the_spec(started: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "ward.yaml").write_text(SPEC)
    run(tmp_path / "ward.yaml", "--port", "9001", "--host", "0.0.0.0", "--set", "name=other")
    assert (started[0]["port"], started[0]["host"]) == (9001, "0.0.0.0")
    assert started[0]["name"] == "other"


def test_a_model_alone_becomes_a_service(started: list[dict[str, Any]]) -> None:
    run("brain@2", "--registry", "shelf")
    [spec] = started
    assert spec["models"] == [{"name": "brain", "version": "2"}]
    assert (spec["registry"], spec["host"], spec["port"]) == ("shelf", "127.0.0.1", 8000)


def test_a_model_without_a_version_is_the_champion(started: list[dict[str, Any]]) -> None:
    run("brain")
    assert started[0]["models"][0]["version"] == "champion"


def test_edge_and_no_keys_are_options(started: list[dict[str, Any]]) -> None:
    run("brain")
    run("brain", "--edge", "--no-auth")
    assert [(spec["flags"], spec["auth"]) for spec in started] == [
        ([], None),
        (["--edge"], "none"),
    ]


def test_the_exit_code_is_that_of_the_service(started: list[dict[str, Any]]) -> None:
    assert run("brain") == 7


def test_an_experiment_is_refused(started: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "{apiVersion: kdray/v1, kind: Experiment, name: e, data: {source: phantom},"
        " teachers: [cnn5], students: [{id: s, model: cnn5}]}"
    )
    with pytest.raises(JobError, match="Use `kdray run`"):
        run(tmp_path / "job.yaml")
    assert started == []


def test_a_typo_in_the_spec_is_found_before_anything_starts(
    started: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "ward.yaml").write_text(SPEC.replace("limits:", "limit:"))
    with pytest.raises(JobErrors, match="Did you mean 'limits'"):
        run(tmp_path / "ward.yaml")
    assert started == []


def refused(config: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the exit code of the service for a spec that it refuses before Ray starts."""
    monkeypatch.setattr(process, "_stop_on_signals", lambda: None)
    monkeypatch.setattr(process, "_serve", lambda *_: pytest.fail("something would start"))
    return process.main(["--config", str(config)])


def test_an_unknown_model_is_refused_before_ray_starts(
    service: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = service(models=(ServedModel(name="liver"),), port=free_port())
    (tmp_path / "service.json").write_text(spec.model_dump_json())
    assert refused(tmp_path / "service.json", monkeypatch) == 1
    assert "has no model 'liver'. It has: brain." in capsys.readouterr().err


def test_a_damaged_package_is_refused_before_ray_starts(
    service: Callable[..., Service],
    registry: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(registry, tmp_path / "registry")
    weights = tmp_path / "registry" / "brain" / "versions" / "2" / "model.safetensors"
    weights.write_bytes(b"damaged")
    spec = service(registry=str(tmp_path / "registry"), port=free_port())
    (tmp_path / "service.json").write_text(spec.model_dump_json())
    assert refused(tmp_path / "service.json", monkeypatch) == 1
    assert "versions/2/model.safetensors: is damaged" in capsys.readouterr().err


def test_a_file_that_is_no_service_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "service.json").write_text('{"kind": "Service", "models": []}')
    assert refused(tmp_path / "service.json", monkeypatch) == 2
    assert "is no Service" in capsys.readouterr().err


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.end_to_end
def test_a_signal_to_the_command_reaches_the_service(tmp_path: Path) -> None:
    script = tmp_path / "kdray_serve.py"  # found before the real one: says what it gets
    script.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    code = (
        "import sys; from kdray.cli.main import main; sys.argv = ['kdray', 'serve', 'm']; main()"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    assert command.stdout.readline() == "up\n"
    command.send_signal(signal.SIGTERM)
    assert command.wait(timeout=60) == 9
