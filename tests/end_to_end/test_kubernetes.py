"""Whole jobs on a Kubernetes cluster whose nodes run pods, where ``KDRAY_TEST_TARGET`` names one.

It is the path of a target file with a storage that this machine and the pods reach.
"""

from __future__ import annotations

import math
import os
import signal
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kdray.launch.kube.client import Api, connect
from kdray.launch.targets import find_target
from kdray.run.journal import read_state
from kdray.spec import Target
from kdray.spec.target import Kubernetes
from tests.end_to_end.driver import PATIENCE_S, Kdray

pytestmark = [pytest.mark.kubernetes, pytest.mark.ray, pytest.mark.end_to_end]

FILE = os.environ.get("KDRAY_TEST_TARGET", "")


@pytest.fixture(scope="module")
def target() -> Target:
    """Return the target, or skip where none is named."""
    if not FILE:
        pytest.skip("no cluster that runs pods: set KDRAY_TEST_TARGET to a target file")
    return find_target(FILE)


@pytest.fixture
def api(target: Target) -> Api:
    assert isinstance(target.place, Kubernetes)
    return connect(target.place)


@pytest.fixture
def kdray(target: Target, cluster: str, tmp_path: Path) -> Kdray:
    """Return the command, with a job whose storage and registry are its own in the target's."""
    assert target.storage is not None
    base, _, settings = target.storage.partition("?")
    own = f"{base}/test-{uuid.uuid4().hex[:8]}"
    return Kdray(tmp_path, cluster, uri=f"{own}?{settings}" if settings else own)


def test_a_job_ends_with_the_results_of_one_on_this_machine(
    undisturbed: Kdray, kdray: Kdray
) -> None:
    code, output = kdray.run("submit", "job.yaml", "--to", FILE, "--wait")
    assert code == 0, output
    assert not list(_differences(kdray, undisturbed))
    code, output = kdray.run("logs", "job.yaml", "--to", FILE)
    assert code == 0
    assert "evaluate done" in output


def test_a_job_whose_workers_are_deleted_ends_with_the_same_results(
    undisturbed: Kdray, kdray: Kdray, api: Api
) -> None:
    driver = kdray.start("submit", "job.yaml", "--to", FILE, "--wait")
    try:
        kdray.wait_for(_is_epoch, driver)
        (found,) = (job for job in api.list("RayJob") if _is_of(kdray, job))
        ours = f"ray.io/cluster={found['status']['rayClusterName']}"
        workers = api.list("Pod", labels=f"{ours},ray.io/node-type=worker")
        assert workers
        for pod in workers:
            api.delete("Pod", pod["metadata"]["name"])
        output, _ = driver.communicate(timeout=PATIENCE_S)
        assert driver.returncode == 0, output
    finally:
        driver.kill()
    assert not list(_differences(kdray, undisturbed))


def test_a_stopped_job_goes_on_when_it_is_sent_again(undisturbed: Kdray, kdray: Kdray) -> None:
    waiting = kdray.start("submit", "job.yaml", "--to", FILE, "--wait")
    try:
        kdray.wait_for(_is_epoch, waiting)
        code, output = kdray.run("stop", "job.yaml", "--to", FILE)
        assert code == 0, output
        output, _ = waiting.communicate(timeout=PATIENCE_S)
        assert waiting.returncode == 128 + signal.SIGINT, output
    finally:
        waiting.kill()
    assert (read_state(kdray.store, "tiny") or {})["state"] == "stopped"
    before = kdray.store.list("steps/prepare")
    code, output = kdray.run("submit", "job.yaml", "--to", FILE, "--wait")
    assert code == 0, output
    assert kdray.store.list("steps/prepare") == before
    assert not list(_differences(kdray, undisturbed))


def _is_epoch(event: Mapping[str, Any]) -> bool:
    return bool(event["kind"] == "epoch")


def _is_of(kdray: Kdray, job: Mapping[str, Any]) -> bool:
    """Return whether a RayJob is this test's."""
    return bool(job["metadata"]["annotations"].get("kdray/storage") == kdray.store.uri)


def _differences(one: Kdray, other: Kdray) -> Iterator[str]:
    """Yield where two jobs' results differ, by more than rounding on another processor."""
    results = [one.results(), other.results()]
    for found in results:  # which registry and which copy of kdray it was
        (promotion,) = [step for step in found["steps"] if step["kind"] == "promote"]
        del promotion["id"], found["code"]
    yield from _apart("results", *results)


def _apart(where: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from _apart(f"{where}.{key}", one[key], other[key])
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _apart(f"{where}[{number}]", *pair)
    elif isinstance(one, float) and isinstance(other, float):
        if not math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-3):
            yield f"{where}: {one} and {other}"
    elif one != other:
        yield f"{where}: {one} and {other}"
