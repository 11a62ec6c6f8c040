"""A cluster grows for a search and shrinks after it, by Ray's own autoscaler."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.clusters import growing
from tests.end_to_end.driver import PATIENCE_S, Kdray

pytestmark = [pytest.mark.ray, pytest.mark.end_to_end]

#: Two trials at once, of more CPUs each than the head has.
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
  student: {epochs: 2}
search: {trials: 3, concurrent: 2, scheduler: none, learning_rate: {min: 0.001, max: 0.01}}
resources: {cpus_per_worker: 2, autoscale: true}
"""


def test_nodes_are_added_for_a_search_and_removed_after_it(tmp_path: Path) -> None:
    with growing(head_cpus=1, node_cpus=2, num_nodes=2) as cluster:
        kdray = Kdray(tmp_path, cluster.address, JOB)
        assert cluster.num_nodes() == 1
        driver = kdray.start("run", "job.yaml", "--plain")
        try:
            kdray.wait_for(_searching, driver)
            assert cluster.wait_for(3, PATIENCE_S)
            kdray.wait_for(_searched, driver)
            driver.send_signal(signal.SIGINT)  # the rest of the job is not looked at
            driver.communicate(timeout=PATIENCE_S)
        finally:
            driver.kill()
        trials = [event for event in kdray.events() if event["kind"] == "trial"]
        assert [event["state"] for event in trials].count("complete") == 3
        assert cluster.wait_for(1, PATIENCE_S)


def _searching(event: Mapping[str, Any]) -> bool:
    return bool(event["kind"] == "trial")


def _searched(event: Mapping[str, Any]) -> bool:
    return bool(event["kind"] == "step_finished" and event["step"].startswith("search"))
