"""A whole job whose storage and registry are on an S3 server ends like one in a folder."""

from __future__ import annotations

import numpy as np
import pytest

from kdray.infer import Predictor
from tests.conftest import new_bucket
from tests.end_to_end.driver import Kdray

pytestmark = [pytest.mark.ray, pytest.mark.end_to_end]

#: Written line by line in a folder, and in pieces on S3.
LINES = ("events.jsonl", "events.jsonl.d")


@pytest.fixture(scope="module")
def remote(cluster: str, s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> Kdray:
    """Return a job on S3 that ran to its end; its keys are in the environment alone."""
    uri = new_bucket(s3_server).partition("&access_key")[0]
    kdray = Kdray(tmp_path_factory.mktemp("remote"), cluster, uri=uri)
    code, output = kdray.run("run", "job.yaml", "--plain")
    assert code == 0, output
    return kdray


def test_its_results_are_those_of_a_job_in_a_folder(undisturbed: Kdray, remote: Kdray) -> None:
    here, there = undisturbed.results(), remote.results()
    for found in (here, there):  # which registry is a part of what promotion is
        (promotion,) = [step for step in found["steps"] if step["kind"] == "promote"]
        del promotion["id"]
    assert there == here


def test_it_leaves_the_same_steps_and_files_as_a_job_in_a_folder(
    undisturbed: Kdray, remote: Kdray
) -> None:
    steps, jobs = [], []
    for kdray in (undisturbed, remote):
        kinds = set(kdray.store.list("steps")) - {"promote"}
        steps.append({kind: kdray.store.list(f"steps/{kind}") for kind in kinds})
        jobs.append([name for name in kdray.store.list("jobs/tiny") if name not in LINES])
        assert kdray.store.list("work") == []
    assert steps[0] == steps[1]
    assert jobs[0] == jobs[1]


def test_the_promoted_models_answer_alike(undisturbed: Kdray, remote: Kdray) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1), dtype=np.uint8)
    answers = []
    for kdray in (undisturbed, remote):
        version = kdray.registry.resolve("tiny")
        answers.append(Predictor(kdray.registry.fetch("tiny", version)).logits(images))
    np.testing.assert_array_equal(*answers)


def test_it_did_no_work_outside_of_the_storage(remote: Kdray) -> None:
    assert [path.name for path in remote.folder.iterdir()] == ["job.yaml"]


def test_running_it_again_does_no_work(remote: Kdray) -> None:
    before, results = remote.store.sizes("steps"), remote.results()
    seen = len(remote.events())
    code, output = remote.run("run", "job.yaml", "--plain")
    assert code == 0, output
    assert (remote.store.sizes("steps"), remote.results()) == (before, results)
    kinds = {event["kind"] for event in remote.events()[seen:]}
    assert kinds == {"job_started", "step_skipped", "job_finished"}
    assert remote.registry.versions("tiny") == [1]
