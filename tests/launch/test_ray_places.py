"""What a Ray target needs no cluster for: addresses, tokens, reasons, what is sent."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdray.errors import LaunchError
from kdray.launch import ray_ship
from kdray.launch.ray import RayJobs, address_of, token_of
from kdray.launch.ray_ship import runtime_env
from kdray.launch.ray_trouble import reason_of, state_of
from kdray.spec.target import RayCluster


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    for name in (*names, "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def cluster(**fields: Any) -> RayCluster:
    return RayCluster(kind="ray", **fields)


def details(**facts: Any) -> SimpleNamespace:
    known = {"status": "FAILED", "message": "", "error_type": None, "driver_exit_code": None}
    return SimpleNamespace(**{**known, **facts})


def failed(code: int, *lines: str) -> SimpleNamespace:
    """Return a job as Ray tells it whose driver has printed these lines and ended."""
    said = f"Job entrypoint command failed with exit code {code}, last available logs "
    text = "\n".join([f"{said}(truncated to 20,000 chars):", *lines])
    error = "JOB_ENTRYPOINT_COMMAND_ERROR"
    return details(driver_exit_code=code, message=text, error_type=error)


def test_the_address_of_the_target_comes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://other:8265")
    assert address_of(cluster(address="http://head:8265/")) == "http://head:8265"
    assert address_of(cluster()) == "http://other:8265"


def test_the_address_of_the_jobs_api_comes_before_that_of_the_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://head:8265")
    assert address_of(cluster()) == "http://head:8265"


@pytest.mark.parametrize("address", ["auto", "head:6379", "ray://head:10001"])
def test_an_address_of_something_else_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(LaunchError, match=r"not that of Ray's Jobs API.*http://HEAD:8265"):
        RayJobs(cluster())


def test_a_token_is_read_where_ray_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert token_of(cluster()) is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("own\n")
    assert token_of(cluster()) == "own"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "set")
    assert token_of(cluster()) == "set"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert token_of(cluster()) is None
    (tmp_path / "token").write_text("named")
    assert token_of(cluster(token_file="~/token")) == "named"


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"token_file: .*nothing cannot be read: No such file"):
        token_of(cluster(token_file=str(tmp_path / "nothing")))


def test_a_head_that_does_not_answer_is_one_error() -> None:
    place = RayJobs(cluster(address="http://127.0.0.1:1"))
    with pytest.raises(LaunchError, match="does not answer: Connection refused"):
        place.jobs()


def test_an_address_that_nobody_knows_is_one_error() -> None:
    place = RayJobs(cluster(address="http://head.invalid:8265"))
    with pytest.raises(LaunchError, match=r"does not answer: .*(?i:name)"):
        place.jobs()


def test_another_server_is_not_taken_for_ray(server: dict[str, Any]) -> None:
    server["answers"] = [(200, "<html>hello</html>")]
    with pytest.raises(LaunchError, match=r"answers \(HTTP 200\), but is not a Ray cluster"):
        RayJobs(cluster(address=server["address"])).jobs()


def test_a_port_of_something_else_is_one_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"\x00\x00\x18\x04\x00 no HTTP \r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        place = RayJobs(cluster(address=f"http://127.0.0.1:{listening.getsockname()[1]}"))
        with pytest.raises(LaunchError, match=r"what listens there does not speak HTTP\. Is"):
            place.jobs()
        thread.join()


def test_a_head_that_is_away_for_a_moment_is_asked_again(
    server: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdray.launch.ray_client.PAUSE_S", 0.0)
    version = (200, json.dumps({"ray_version": "2.60.0"}))
    server["answers"] = [version, (503, "no upstream"), (503, "no upstream"), (200, "[]")]
    assert RayJobs(cluster(address=server["address"])).jobs() == []


def test_a_request_that_changes_something_is_not_made_twice(server: dict[str, Any]) -> None:
    from kdray.launch.ray_client import JobsClient, talking

    server["answers"] = [(200, json.dumps({"ray_version": "2.60.0"})), (503, "no upstream")]
    client = JobsClient(server["address"], None)
    with pytest.raises(LaunchError, match="no upstream"), talking(server["address"]):
        client.stop_job("tiny-1")
    assert len(server["asked"]) == 2


def nodes_told(*states: str) -> tuple[int, str]:
    rows = [{"state": state, "resources_total": {"CPU": 4.0}} for state in states]
    return 200, json.dumps({"data": {"result": {"result": rows}}})


def test_a_head_that_has_just_started_is_given_time_for_its_node(
    server: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kdray.launch import ray_client

    waited: list[float] = []
    monkeypatch.setattr(ray_client.time, "sleep", waited.append)
    version = (200, json.dumps({"ray_version": "2.60.0"}))
    server["answers"] = [version, nodes_told(), nodes_told("DEAD"), nodes_told("DEAD", "ALIVE")]
    client = ray_client.JobsClient(server["address"], None)
    assert client.nodes() == [{"CPU": 4.0}]
    assert len(waited) == 2
    server["answers"] = [nodes_told()] * 100
    with pytest.raises(LaunchError, match=r"has no node that is up\. One that has just started"):
        client.nodes()


class Followed:
    """A client whose connections break off, one after the other.

    Args:
        connections: What each gives before it breaks off.
        log: The whole log.
        rounds: How often the job is looked at before it is over.
    """

    def __init__(self, connections: list[list[str]], log: str, rounds: int) -> None:
        self._connections = connections
        self._log = log
        self._rounds = rounds

    def get_job_info(self, _: str) -> SimpleNamespace:
        self._rounds -= 1
        facts = {"kdray.job": "tiny", "kdray.id": "tiny-1"}
        times = {"start_time": 1000, "end_time": None}
        status = "RUNNING" if self._rounds >= 0 else "SUCCEEDED"
        known = details(status=status, metadata=facts, submission_id="tiny-1", driver_info=None)
        return SimpleNamespace(**vars(known), **times)

    def get_job_logs(self, _: str) -> str:
        return self._log

    def follow(self, _: str) -> Iterator[str]:
        yield from self._connections.pop(0)
        raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")


@pytest.mark.parametrize(
    ("connections", "rounds"),
    [([["one\n", "two\n"], ["on", "e\ntwo\nth"]], 3), ([[], [], []], 5), ([], 0)],
)
def test_a_log_is_followed_through_connections_that_break_off(
    connections: list[list[str]], rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdray.launch.ray.LOOK_S", 0.0)
    place = RayJobs(cluster(address="http://head:8265"))
    place._client = Followed(connections, "one\ntwo\nthree\n", rounds)
    assert "".join(place.logs("tiny-1", follow=True)) == "one\ntwo\nthree\n"


@pytest.fixture
def server() -> Iterator[dict[str, Any]]:
    """Give a server that answers what it is told to, one after the other."""
    facts: dict[str, Any] = {"answers": [], "asked": []}

    class Told(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            facts["asked"].append(self.path)
            status, text = facts["answers"].pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Told) as listening:
        facts["address"] = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield facts
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [
        ("PENDING", None, "pending"),
        ("RUNNING", None, "running"),
        ("STOPPED", None, "stopped"),
        ("SUCCEEDED", 0, "finished"),
        ("FAILED", 1, "failed"),
        ("FAILED", 130, "stopped"),
    ],
)
def test_states_of_ray_have_names_of_ours(status: str, code: int | None, state: str) -> None:
    assert state_of(details(status=status, driver_exit_code=code)) == state


def test_a_job_that_runs_or_is_done_has_no_reason() -> None:
    said = "Job is currently running."
    assert reason_of(details(status="RUNNING", message=said)) == ""
    assert reason_of(details(status="SUCCEEDED", driver_exit_code=0, message=said)) == ""


def test_the_reason_of_a_refused_job_file_is_what_the_driver_says() -> None:
    job = failed(2, "Running entrypoint for job x: ...", "error job.yaml:3:1: epochs: no number.")
    assert reason_of(job) == "The job file is refused there: job.yaml:3:1: epochs: no number."


def test_of_many_errors_the_last_are_told() -> None:
    job = failed(1, *(f"error {number}." for number in range(5)))
    assert reason_of(job) == "2. 3. 4. (and 2 more)"


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (failed(-9, "epoch 3"), "ran out of memory"),
        (failed(137, "epoch 3"), "ran out of memory"),
        (failed(-11, "epoch 3"), "ended by SIGSEGV"),
        (failed(127, "sh: 1: exec: python: not found"), "`python` of the target"),
        (failed(1, "python: No module named kdray"), "`ship: true`"),
        (failed(1, "ModuleNotFoundError: No module named 'timm'"), "lack the Python package timm"),
        (failed(1, "error Ray: Version mismatch: The cluster was ..."), "differs"),
        (failed(1), "printed nothing"),
    ],
)
def test_a_driver_that_failed_has_a_reason(job: SimpleNamespace, words: str) -> None:
    assert words in reason_of(job)


@pytest.mark.parametrize(
    ("kind", "message", "words"),
    [
        ("RUNTIME_ENV_SETUP_FAILURE", "runtime_env setup failed: disk full", "disk full"),
        ("JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "failed to start within 900", "`ray status`"),
        ("JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE", "node is gone.", "Submit it again"),
        (
            "JOB_SUPERVISOR_ACTOR_DIED",
            "Job supervisor actor died: The actor died because its node has died.",
            "node was lost",
        ),
        (
            "JOB_SUPERVISOR_ACTOR_DIED",
            "Job supervisor actor died: killed due to the node running low on memory (OOM).",
            "ran out of memory",
        ),
        (
            "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE",
            "Unexpected error occurred: x",
            "lost the driver",
        ),
    ],
)
def test_a_driver_that_ray_lost_has_a_reason(kind: str, message: str, words: str) -> None:
    assert words in reason_of(details(error_type=kind, message=message))


def test_a_job_travels_with_its_file_the_code_and_the_variables_of_its_target() -> None:
    place = cluster(environment={"AWS_REGION": "eu", "MALLOC_ARENA_MAX": 4})
    with runtime_env("name: tiny\n", place) as sent:
        assert Path(sent["working_dir"], "job.yaml").read_text() == "name: tiny\n"
        assert [Path(path).name for path in sent["py_modules"]] == ["kdray", "kdray_serve"]
        names = {path.name for folder in sent["py_modules"] for path in Path(folder).rglob("*")}
        assert sent["env_vars"]["AWS_REGION"] == "eu"
        assert sent["env_vars"]["MALLOC_ARENA_MAX"] == "4"
        assert all(type(value) is str for value in sent["env_vars"].values())  # Ray refuses others
    assert {"__init__.py", "template.html", "_counts.json", "index.html"} <= names
    assert not [name for name in names if name.endswith(".pyc") or name == "__pycache__"]


def test_nothing_is_left_of_what_was_sent() -> None:
    with runtime_env("name: tiny\n", cluster()) as sent:
        folder = Path(sent["working_dir"])
    assert not folder.exists()


def test_an_installed_kdray_is_not_sent() -> None:
    with runtime_env("name: tiny\n", cluster(ship=False)) as sent:
        assert "py_modules" not in sent


def test_what_cannot_be_sent_is_said() -> None:
    with pytest.raises(LaunchError, match="`ship: false`"):
        ray_ship.folder_of("json.decoder")
