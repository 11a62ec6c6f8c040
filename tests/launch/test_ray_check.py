"""What the doctor finds out about a Ray cluster, at a Jobs API that runs one command at a time."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import ray

from kdray import __version__
from kdray.launch import ray_check
from kdray.launch.check import place_checks
from kdray.launch.finding import Check
from kdray.spec.target import RayCluster, Target


class JobsApi(HTTPServer):
    """A Jobs API whose driver is a process of this machine.

    Args:
        said: What every driver prints instead; None: it is run.
    """

    def __init__(self, said: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.version = ray.__version__
        self.said = said
        self.status = "SUCCEEDED"
        self.jobs: dict[str, str] = {}
        self.deleted: list[str] = []

    def answer(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON of an answer."""
        id = path.removeprefix("/api/jobs/").partition("/")[0]
        if path == "/api/version":
            return {"version": "4", "ray_version": self.version, "ray_commit": "x"}
        if method == "POST" and not id:
            self.jobs[body["submission_id"]] = self.said or _run(body["entrypoint"])
            return {"job_id": body["submission_id"], "submission_id": body["submission_id"]}
        if method == "POST":
            return {"stopped": True}
        if method == "DELETE":
            self.deleted.append(id)
            return {"deleted": True}
        if path.endswith("/logs"):
            return {"logs": self.jobs[id]}
        return {
            "type": "SUBMISSION",
            "submission_id": id,
            "status": self.status,
            "entrypoint": "x",
            "message": "",
        }


class _Handler(BaseHTTPRequestHandler):
    server: JobsApi

    def _do(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(sent) if sent else {}
        text = json.dumps(self.server.answer(self.command, self.path, body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = _do

    def log_message(self, *words: Any) -> None:
        pass


def _run(entrypoint: str) -> str:
    done = subprocess.run(entrypoint, shell=True, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobsApi]:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    server = JobsApi()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def found(api: JobsApi, **fields: Any) -> dict[str, Check]:
    address = f"http://127.0.0.1:{api.server_address[1]}"
    place = RayCluster(kind="ray", address=address, **fields)
    target = Target(apiVersion="kdray/v1", kind="Target", name="head", place=place)
    return {check.name: check for check in place_checks(target)}


def on_head(**facts: Any) -> str:
    known = {"python": platform.python_version(), "kdray": __version__, "missing": []}
    return json.dumps({**known, **facts})


def test_a_cluster_like_this_machine_is_right(api: JobsApi) -> None:
    checks = found(api, python=shlex.quote(sys.executable))
    assert list(checks) == ["cluster", "python", "libraries", "kdray"]
    assert {check.state for check in checks.values()} == {"ok"}, checks
    assert checks["python"].fact == f"{platform.python_version()} on the head"
    assert api.deleted == list(api.jobs)


def test_a_python_that_is_not_there_is_named(api: JobsApi) -> None:
    driver = found(api, python="python0.9")["driver"]
    assert driver.state == "fail"
    assert "`python0.9` cannot be run on the head: " in driver.fact
    assert "not found" in driver.fact


def test_another_version_of_ray_gets_no_code(api: JobsApi) -> None:
    api.version, api.said = "2.9.1", on_head()
    assert found(api)["cluster"].state == "fail"
    assert found(api, ship=False)["cluster"].state == "note"


@pytest.mark.parametrize(("version", "state"), [("3.8.1", "fail"), ("3.99.0", "note")])
def test_another_python_is_told(api: JobsApi, version: str, state: str) -> None:
    api.said = on_head(python=version)
    assert found(api)["python"].state == state


def test_missing_libraries_are_named(api: JobsApi) -> None:
    api.said = on_head(missing=["torch", "timm"])
    assert found(api)["libraries"].fact == "the head's Python has no torch, timm"


@pytest.mark.parametrize(
    ("there", "state"), [(None, "fail"), ("0.0.1", "warn"), (__version__, "ok")]
)
def test_without_shipping_kdray_is_installed_there(
    api: JobsApi, there: str | None, state: str
) -> None:
    api.said = on_head(kdray=there)
    assert found(api, ship=False)["kdray"].state == state
    assert found(api)["kdray"].state == "ok"


def test_a_driver_that_does_not_begin_is_told(
    api: JobsApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_check, "WAIT_S", 0.0)
    api.status, api.said = "PENDING", "nothing"
    assert "does not end within" in found(api)["driver"].fact
