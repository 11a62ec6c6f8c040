from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdray.errors import KdrayError, NeverFits
from kdray.launch import fit as fits
from kdray.launch.fit import StageFit, check_fit, groups_of
from kdray.launch.scheduling import Group
from kdray.plan.read import read_job
from kdray.spec import Experiment, Service, Suite, Target

JOB = """\
apiVersion: kdray/v1
kind: Experiment
name: tiny
data: {source: phantom, image_size: 32}
teachers: [{id: big, model: cnn5}, {id: other, model: cnn5}]
students: [{id: small, model: cnn5}]
methods: [none, kd]
search: {trials: 3}
evaluate: {seeds: 2}
"""
SUITE = """\
apiVersion: kdray/v1
kind: Suite
name: both
base:
  data: {source: phantom, image_size: 32}
  students: [{id: small, model: cnn5}]
  methods: [none]
  search: {trials: 0}
experiments:
  - {name: one}
  - {name: two, set: {train.seed: 1}}
  - {name: wide, set: {resources.cpus_per_worker: 4}}
"""
SERVICE = """\
apiVersion: kdray/v1
kind: Service
name: scans
models: [scan]
auth: {environment: KEYS}
autoscaling: {max_replicas: 3}
cpus_per_replica: 2
"""
CPU: dict[str, Any] = {"name": "cpu", "max": 4, "cpus": 8}
GPU: dict[str, Any] = {"name": "gpu", "max": 4, "cpus": 4, "gpus": 1}
GROWING: dict[str, Any] = {"autoscale": True, "groups": [CPU, GPU]}
#: Three arms: the student alone, and of each teacher, with two seeds.
RUNS = 6


def job_of(folder: Path, text: str = JOB, *sets: str) -> Experiment | Suite | Service:
    path = folder / "job.yaml"
    path.write_text(text)
    return read_job(path, sets)


def lab(**place: Any) -> Target:
    tree = {"apiVersion": "kdray/v1", "kind": "Target", "name": "lab"}
    secrets = {"KEYS": {"secret": "keys", "key": "keys"}}
    kubernetes = {"kind": "kubernetes", "secret_environment": secrets}
    return Target.model_validate(
        {**tree, "storage": "s3://lab/runs", "place": {**kubernetes, **place}}
    )


def ray() -> Target:
    tree = {"apiVersion": "kdray/v1", "kind": "Target", "name": "head"}
    return Target.model_validate({**tree, "place": {"kind": "ray", "address": "http://head:8265"}})


def of(found: list[StageFit]) -> dict[str, StageFit]:
    return {fit.stage: fit for fit in found}


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """Return the list of nodes that every Ray cluster tells; empty."""
    up: list[dict[str, float]] = []
    monkeypatch.setattr(fits, "_asked", lambda _place: groups_of(up))
    return up


def test_a_job_brings_up_the_nodes_that_each_stage_asks_for(tmp_path: Path) -> None:
    asked = ("resources.autoscale=true", "resources.gpus_per_worker=1", "search.concurrent=3")
    found = of(check_fit(job_of(tmp_path, JOB, *asked), lab(**GROWING)))
    assert {stage: (fit.count, dict(fit.launched), fit.waits) for stage, fit in found.items()} == {
        "prepare": (1, {"cpu": 1}, 0),
        "pretrain": (2, {"gpu": 2}, 0),
        "record": (64, {"gpu": 4}, 60),
        "search": (3, {"gpu": 3}, 0),
        "distil": (RUNS, {"gpu": 4}, 2),
        "evaluate": (RUNS + 2, {"gpu": 4}, 4),
    }


def test_a_job_for_all_nodes_from_the_start_shares_them_and_brings_up_none(tmp_path: Path) -> None:
    found = of(check_fit(job_of(tmp_path), lab(groups=[{**CPU, "max": 2}])))
    assert not any(fit.launched or fit.waits for fit in found.values() if fit.stage != "evaluate")
    assert (found["distil"].cpus, found["distil"].count) == (8, 2)
    # Two arms are searched, with three trials each: three of two CPUs on each node.
    assert (found["search"].cpus, found["search"].count) == (2, 6)


def test_runs_that_share_the_gpus_of_a_node_share_its_cpus(tmp_path: Path) -> None:
    groups = [{"name": "gpu", "max": 1, "cpus": 8, "gpus": 2}]
    job = job_of(tmp_path, JOB, "resources.gpus_per_worker=0.5")
    found = of(check_fit(job, lab(groups=groups)))
    assert [(found[stage].cpus, found[stage].runs) for stage in ("pretrain", "distil")] == [
        (4, 2),  # as many as there are teachers
        (2, 4),
    ]
    assert (found["distil"].count, found["distil"].waits) == (4, 0)


def test_the_groups_made_for_a_job_are_large_enough_for_it(tmp_path: Path) -> None:
    asked = ("resources.gpus_per_worker=1", "resources.workers=3", "search.concurrent=2")
    found = of(check_fit(job_of(tmp_path, JOB, *asked), lab()))
    assert (found["pretrain"].what, found["pretrain"].runs) == ("worker", 3)
    assert found["pretrain"].together
    assert (found["search"].what, found["search"].runs) == ("trial", 2)


def test_workers_that_share_a_run_start_together_or_not_at_all(tmp_path: Path) -> None:
    asked = ("resources.autoscale=true", "resources.gpus_per_worker=1", "search.concurrent=1")
    job = job_of(tmp_path, JOB, *asked, "resources.workers=5")
    with pytest.raises(NeverFits) as refused:
        check_fit(job, lab(**GROWING))
    assert refused.value.where == "pretrain on lab"
    assert refused.value.problem == (
        "asks for 5 workers of 1 CPU and 1 GPU at the same time; there is room for 4, with all "
        "nodes up (cpu: 4 x 8 CPU; gpu: 4 x 4 CPU and 1 GPU)."
    )
    assert "resources.workers" in refused.value.remedy
    assert refused.value.exit_code == 2


def test_what_no_node_can_hold_is_refused(tmp_path: Path) -> None:
    asked = ("resources.autoscale=true", "resources.gpus_per_worker=2", "search.concurrent=1")
    with pytest.raises(NeverFits, match=r"a process of 1 CPU and 2 GPU; there is room for none"):
        check_fit(job_of(tmp_path, JOB, *asked), lab(**GROWING))


def test_a_job_that_waits_for_no_nodes_is_told_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(NeverFits, match=r"pretrain on lab.* resources\.autoscale: true"):
        check_fit(job_of(tmp_path, JOB, "resources.gpus_per_worker=1"), lab(**GROWING))


def test_a_job_that_leaves_nodes_unused_is_told_so(tmp_path: Path) -> None:
    groups = [{**CPU, "min": 1}]
    found = of(check_fit(job_of(tmp_path), lab(autoscale=True, groups=groups)))
    assert (
        found["search"].note
        == "made for the nodes up from the start: resources.autoscale is false"
    )


def test_more_trials_at_once_than_there_is_room_for_are_refused(tmp_path: Path) -> None:
    job = job_of(tmp_path, JOB, "search.concurrent=9", "resources.cpus_per_worker=4")
    with pytest.raises(NeverFits, match=r"search on lab: 9 at once .* room for 8 .*search\.concu"):
        check_fit(job, lab(groups=[CPU]))


def test_experiments_of_a_suite_that_ask_alike_are_told_once(tmp_path: Path) -> None:
    found = check_fit(job_of(tmp_path, SUITE), lab(groups=[CPU]))
    assert [(fit.stage, fit.cpus) for fit in found] == [
        *(("prepare", 1), ("distil", 8), ("evaluate", 8)),
        *(("distil", 4), ("evaluate", 4)),
    ]


def test_a_service_asks_for_replicas_that_predict_and_that_explain(tmp_path: Path) -> None:
    groups = [{"name": "serve", "max": 2, "cpus": 4}]
    (found,) = check_fit(job_of(tmp_path, SERVICE), lab(groups=groups))
    assert (found.stage, found.count, found.cpus, found.runs) == ("serve", 6, 2, 4)


def test_a_service_that_cannot_even_begin_is_refused(tmp_path: Path) -> None:
    job = job_of(tmp_path, SERVICE, "cpus_per_replica=5")
    with pytest.raises(KdrayError, match=r"2 replicas of 5 CPU.*autoscaling\.min_replicas") as no:
        check_fit(job, lab(groups=[{"name": "serve", "max": 2, "cpus": 4}]))
    assert no.value.exit_code == 2


def test_a_ray_cluster_is_counted_by_its_nodes(
    tmp_path: Path, nodes: list[dict[str, float]]
) -> None:
    nodes += [{"CPU": 4.0, "memory": 1e9, "node:10.0.0.1": 1.0}, {"CPU": 4.0, "GPU": 2.0}]
    found = of(check_fit(job_of(tmp_path, JOB, "resources.gpus_per_worker=1"), ray()))
    assert (found["pretrain"].count, found["pretrain"].cpus) == (2, 2)
    nodes.pop()
    with pytest.raises(NeverFits, match=r"pretrain on head: .*nodes: 4 CPU.*larger cluster"):
        check_fit(job_of(tmp_path, JOB, "resources.gpus_per_worker=1"), ray())


def test_how_far_a_ray_cluster_grows_is_not_known(
    tmp_path: Path, nodes: list[dict[str, float]]
) -> None:
    nodes += [{"CPU": 4.0}]
    asked = ("resources.autoscale=true", "resources.gpus_per_worker=1", "search.concurrent=2")
    found = of(check_fit(job_of(tmp_path, JOB, *asked), ray()))
    assert (found["prepare"].runs, found["prepare"].note) == (1, "")
    assert (found["search"].runs, found["search"].note) == (
        0,
        "waits until the cluster has grown",
    )


def test_equal_nodes_are_one_group() -> None:
    found = groups_of([{"CPU": 4.0}, {"CPU": 4.0, "GPU": 1.0}, {"CPU": 4.0, "memory": 1.0}])
    assert [(group.name, group.first, group.most) for group in found] == [
        ("nodes of 4 CPU", 2, 2),
        ("nodes of 4 CPU and 1 GPU", 1, 1),
    ]


def test_on_this_machine_its_own_cpus_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(fits, "this_machine", lambda: Group("this machine", {"CPU": 2.0}, 1, 1))
    tree = {
        "apiVersion": "kdray/v1",
        "kind": "Target",
        "name": "local",
        "place": {"kind": "local"},
    }
    local = Target.model_validate(tree)
    assert of(check_fit(job_of(tmp_path), local))["search"].count == 2
    with pytest.raises(NeverFits, match=r"this machine|nodes: 2 CPU"):
        check_fit(job_of(tmp_path, JOB, "resources.gpus_per_worker=1"), local)
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert check_fit(job_of(tmp_path), local) == []
