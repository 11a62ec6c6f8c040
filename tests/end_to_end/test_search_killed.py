"""A search loses no trial: its driver or a whole node is killed, and it ends undisturbed."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdray.spec import Experiment
from kdray.store import Store
from tests.end_to_end.clusters import fixed
from tests.end_to_end.driver import PATIENCE_S, Kdray
from tests.run.killing import in_this_process, speeds, trials

pytestmark = [pytest.mark.ray, pytest.mark.end_to_end]

#: Two trials at once, whose settings do not depend on each other's scores.
JOB = """\
apiVersion: kdray/v1
kind: Experiment
name: tiny
data:
  source: {name: phantom, params: {num_images: 60}}
  image_size: 32
  channels: 1
students:
  - {id: small, model: {name: cnn5, params: {widths: [4, 4, 4, 4, 4]}}}
methods: [none]
train:
  student: {epochs: 60}
search:
  sampler: grid
  scheduler: none
  concurrent: 2
  learning_rate: {choices: [0.001, 0.002, 0.004, 0.008]}
resources: {cpus_per_worker: 1}
"""
Wanted = Callable[[Mapping[str, Any]], bool]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the trials of the search as they are without Ray and without a disturbance."""
    job = Experiment.model_validate(yaml.safe_load(JOB))
    return in_this_process(job, tmp_path_factory.mktemp("undisturbed"))


def test_a_search_whose_driver_was_killed_keeps_its_trials_and_goes_on_with_those_that_ran(
    cluster: str, tmp_path: Path, undisturbed: list[dict[str, Any]]
) -> None:
    kdray = Kdray(tmp_path, cluster, JOB)
    assert kdray.run_until(_in_the_second_half_of_a_later_trial, signal.SIGKILL) < 0
    before, seen = _kept(kdray), len(kdray.events())
    code = kdray.run_until(_searched, signal.SIGINT)
    assert code == 130, kdray.output
    assert _found(kdray) == undisturbed
    again = {event["run"] for event in kdray.events()[seen:] if event["kind"] == "run_started"}
    for number, state in before.items():
        trial = f"{number + 1}/4"
        assert any(run.endswith(f" {trial}") for run in again) == (state == "running")
    _assert_gone_on(kdray, seen)


def test_a_search_goes_on_when_a_node_dies_with_a_trial(
    tmp_path: Path, undisturbed: list[dict[str, Any]]
) -> None:
    with fixed(head_cpus=1) as cluster:
        node = cluster.start_node(cpus=1)
        kdray = Kdray(tmp_path, cluster.address, JOB)
        driver = kdray.start("run", "job.yaml", "--plain")
        try:
            kdray.wait_for(lambda event: _is_late(event) and event["pid"] in node, driver)
            node.kill()
            seen = len(kdray.events())
            assert cluster.wait_for(1, PATIENCE_S)
            kdray.wait_for(_searched, driver)
            driver.send_signal(signal.SIGINT)  # the rest of the job is not looked at
            driver.communicate(timeout=PATIENCE_S)
        finally:
            driver.kill()
        assert _found(kdray) == undisturbed
        _assert_gone_on(kdray, seen)


def _is_late(event: Mapping[str, Any]) -> bool:
    late = event["kind"] == "epoch" and event["step"].startswith("search") and event["epoch"] > 5
    return bool(late)


def _in_the_second_half_of_a_later_trial(event: Mapping[str, Any]) -> bool:
    return _is_late(event) and event["run"].endswith((" 3/4", " 4/4"))


def _searched(event: Mapping[str, Any]) -> bool:
    return bool(event["kind"] == "step_finished" and event["step"].startswith("search"))


def _kept(kdray: Kdray) -> dict[int, str]:
    """Return the states of the trials that the storage holds, by their numbers."""
    files = kdray.storage.glob("work/*/trial-*.json")
    found = [json.loads(file.read_text()) for file in files]
    return {trial["number"]: trial["state"] for trial in found}


def _found(kdray: Kdray) -> list[dict[str, Any]]:
    (result,) = kdray.storage.glob("steps/search/*/result.json")
    return trials(Store(str(kdray.storage)), str(result.parent.relative_to(kdray.storage)))


def _assert_gone_on(kdray: Kdray, seen: int) -> None:
    """Check that a trial was told again what it had done before the death, from its checkpoint."""
    events = kdray.events()
    before, after = events[:seen], events[seen:]
    again = [
        (first, told)
        for trial in ("1/4", "2/4", "3/4", "4/4")
        for epoch, (first, *_) in speeds(before, trial).items()
        for told in speeds(after, trial).get(epoch, [])
        if epoch <= 5
    ]
    assert again
    assert all(first == told for first, told in again)
