"""The service on Ray Serve: its answers, and what happens to them when processes die."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from kdray.bench._servers import tree
from kdray.registry import Registry
from kdray.served.cluster import METRICS_PORT
from kdray.spec.service import Service

pytestmark = [pytest.mark.end_to_end, pytest.mark.ray]
CLIENTS = 4


@pytest.fixture(scope="module")
def spec(spec_of: Callable[..., Path]) -> Path:
    return spec_of(autoscaling={"min_replicas": 2, "max_replicas": 2}, cpus_per_replica=0.25)


@pytest.fixture(scope="module")
def scrape() -> str:
    """Return where the counts of the machine are shown."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/metrics"


@pytest.fixture(scope="module")
def server(start: Callable[..., Any], spec: Path, scrape: str) -> Any:
    """Start the service once for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(METRICS_PORT, str(httpx.URL(scrape).port))
        return start(spec)


def test_the_service_is_ready_where_the_line_says(server: Any) -> None:
    assert any(f"ready at {server.url} after" in line for line in server.lines)
    assert httpx.get(f"{server.url}/healthz", timeout=30).json() == {"status": "ok"}
    assert httpx.get(f"{server.url}/readyz", timeout=30).json() == {"status": "ready"}
    assert httpx.get(f"{server.url}/v1/models", timeout=30).status_code == 401
    assert "<html" in httpx.get(server.url, timeout=30).text


def test_predictions_are_those_of_the_service_in_one_process(
    server: Any, edge: Any, scan: bytes
) -> None:
    ours, theirs = (one.post("predict", scan).json() for one in (server, edge))
    assert ours["model"] == theirs["model"]
    assert ours["predictions"] == theirs["predictions"]


def test_maps_are_those_of_the_service_in_one_process(server: Any, edge: Any, scan: bytes) -> None:
    fields = {"method": "featuremaps", "class": "pituitary", "raw": "true"}
    ours, theirs = (one.post("explain", scan, **fields).json() for one in (server, edge))
    assert ours["prediction"] == theirs["prediction"]
    assert ours["maps"] == theirs["maps"]


def test_refusals_cross_from_the_replicas_with_their_status(server: Any, scan: bytes) -> None:
    for verb in ("predict", "explain"):
        refused = server.post(verb, b"no image")
        assert refused.status_code == 415
        assert refused.headers["content-type"] == "application/problem+json"
        assert server.post(verb, b"x" * 2**21).status_code == 413
    unknown = server.post("explain", scan, method="shap")
    assert unknown.status_code == 422
    assert "gradcam" in unknown.json()["detail"]


@dataclass
class Seen:
    """What clients saw: (version, probabilities) of answers, and what failed."""

    answers: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@contextmanager
def load(server: Any, scan: bytes) -> Iterator[Seen]:
    """Ask for predictions all the while."""
    seen, over = Seen(), threading.Event()

    def ask() -> None:
        with server.client() as client:
            while not over.is_set():
                try:
                    files = {"image": ("scan.png", scan)}
                    answer = client.post("/v1/models/brain/predict", files=files)
                except httpx.HTTPError as error:
                    seen.failures.append(repr(error))
                    continue
                if answer.status_code != 200:
                    seen.failures.append(f"{answer.status_code} {answer.text}")
                    continue
                said = answer.json()
                shares = said["predictions"][0]["probabilities"].values()
                seen.answers.append((said["model"]["version"], tuple(shares)))

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


def wait_until(is_so: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.05)


def of_version(server: Any, scan: bytes, version: int) -> tuple[float, ...]:
    said = server.post("predict", scan, model=f"brain@{version}").json()
    return tuple(said["predictions"][0]["probabilities"].values())


def replicas(server: Any, deployment: str) -> list[int]:
    """Return the processes of a deployment's replicas."""
    found = []
    for pid in tree(server.process.pid):
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            if name.startswith("ray::ServeReplica") and f":{deployment}" in name:
                found.append(pid)
    return found


def test_a_killed_replica_takes_only_what_it_was_answering(server: Any, scan: bytes) -> None:
    expected = (1, of_version(server, scan, 1))
    with load(server, scan) as seen:
        wait_until(lambda: len(seen.answers) > 10)
        alive = replicas(server, "http")
        assert len(alive) == 2
        os.kill(alive[0], signal.SIGKILL)
        counted = len(seen.answers)
        wait_until(lambda: len(seen.answers) > counted + 20)
        wait_until(lambda: len(set(replicas(server, "http")) - set(alive)) == 1)
    assert len(seen.failures) <= CLIENTS, seen.failures
    assert set(seen.answers) == {expected}


def test_explanations_come_back_after_their_replicas_were_killed(server: Any, scan: bytes) -> None:
    victims = replicas(server, "explain")
    assert len(victims) == 2
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    assert server.post("predict", scan).status_code == 200
    wait_until(lambda: server.post("explain", scan, method="featuremaps").status_code == 200)


def counts(scrape: str) -> str:
    """Return the counts of the machine; empty where no process has the port."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(scrape, timeout=30).text
    return ""


def test_the_counts_of_all_replicas_are_shown_on_a_port_without_a_key(
    server: Any, scrape: str
) -> None:
    for line in ('kdray_images_total{canary="no"', "kdray_explain_seconds", "kdray_ready 1.0"):
        wait_until(lambda line=line: line in counts(scrape))


def test_a_new_champion_answers_without_a_failed_request(
    server: Any, spec: Path, scan: bytes
) -> None:
    registry = Registry(Service.model_validate_json(spec.read_bytes()).registry)
    expected = {(number, of_version(server, scan, number)) for number in (1, 2)}
    with load(server, scan) as seen:
        wait_until(lambda: len(seen.answers) > 10)
        registry.promote("brain", 2)

        def has_switched() -> bool:  # each replica is asked sooner or later
            with server.client() as client:
                assert client.post("/v1/refresh").status_code == 200
            return all(version == 2 for version, _ in seen.answers[-4 * CLIENTS :])

        wait_until(has_switched)
    assert seen.failures == []
    assert set(seen.answers) == expected


def test_log_lines_of_replicas_come_out_of_the_service(server: Any, scan: bytes) -> None:
    answer = server.post("predict", scan)
    request_id = answer.json()["request_id"]
    assert answer.headers.get_list("X-Request-ID") == [request_id]
    wait_until(lambda: any(request_id in line for line in server.lines), 30)


def test_a_signal_ends_all_processes(server: Any) -> None:
    processes = tree(server.process.pid)
    assert server.stop() == 0
    assert "stopped" in server.lines[-1]
    wait_until(lambda: not [pid for pid in processes if Path(f"/proc/{pid}/stat").exists()], 30)
