from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from kdray.errors import LaunchError
from kdray.launch.scheduling import HEAD, KNOWN, Group, read_groups, schedule

#: Four nodes of each kind at most, a GPU in each of the second; none is up but the head.
GROWING = (
    Group(HEAD, {"CPU": 0.0}, 1, 1),
    Group("cpu", {"CPU": 8.0}, 0, 4),
    Group("gpu", {"CPU": 4.0, "GPU": 1.0}, 0, 4),
)


def pods(cpu: str, gpu: int = 0) -> dict[str, Any]:
    size = {"cpu": cpu, "memory": "4Gi", **({"nvidia.com/gpu": str(gpu)} if gpu else {})}
    return {"spec": {"containers": [{"name": "ray", "resources": {"limits": size}}]}}


def cluster(**changes: Any) -> dict[str, Any]:
    """Return the spec of a RayCluster with a head and workers, whose group may be changed."""
    workers = {"groupName": "workers", "replicas": 1, "minReplicas": 1, "maxReplicas": 4}
    own = {**workers, "rayStartParams": {}, "template": pods("8", 2), **changes}
    head = {"rayStartParams": {"num-cpus": "0"}, "template": pods("2")}
    return {
        "enableInTreeAutoscaling": True,
        "headGroupSpec": head,
        "workerGroupSpecs": [own],
    }


def test_ray_reads_what_each_node_of_a_cluster_has() -> None:
    head, workers = read_groups(cluster())
    assert (head.size, head.first, head.most) == ((0, 0), 1, 1)
    assert (workers.name, workers.size, workers.first, workers.most) == ("workers", (8, 2), 1, 4)


def test_without_autoscaling_all_nodes_are_there_from_the_start() -> None:
    _, workers = read_groups({**cluster(replicas=3), "enableInTreeAutoscaling": False})
    assert (workers.first, workers.most) == (3, 3)


def test_a_cluster_of_a_head_alone_is_read() -> None:
    found = read_groups({**cluster(), "workerGroupSpecs": []})
    assert [group.name for group in found] == [HEAD]


@pytest.mark.parametrize(
    "changes",
    [
        {"template": pods("8 cores")},
        {"template": {"spec": {"containers": [{"name": "ray"}]}}},  # no CPUs
        {"minReplicas": 5},
    ],
)
def test_a_cluster_that_ray_cannot_read_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(LaunchError, match=r"lab: Ray cannot read the cluster: ."):
        read_groups(cluster(**changes), "lab")


@pytest.mark.parametrize(
    ("asked", "count", "together", "launched", "left"),
    [
        ({"CPU": 1.0}, 1, False, {"cpu": 1}, 0),
        ({"CPU": 1.0, "GPU": 0.5}, 8, False, {"gpu": 4}, 0),
        ({"CPU": 1.0, "GPU": 1.0}, 8, False, {"gpu": 4}, 4),
        ({"CPU": 1.0, "GPU": 1.0}, 2, True, {"gpu": 2}, 0),
        ({"CPU": 1.0, "GPU": 1.0}, 6, True, {}, 6),  # all or none
        ({"CPU": 1.0, "GPU": 2.0}, 1, False, {}, 1),  # two GPUs of no one node
        ({"CPU": 9.0}, 1, False, {}, 1),
        ({"CPU": 8.0}, 4, False, {"cpu": 4}, 0),
    ],
)
def test_ray_brings_up_the_nodes_that_are_asked_for(
    asked: dict[str, float], count: int, together: bool, launched: dict[str, int], left: int
) -> None:
    found = schedule(GROWING, asked, count, together)
    assert (dict(found.launched), found.left) == (launched, left)


def test_nodes_that_are_up_are_filled_before_more_are_brought_up() -> None:
    up = (GROWING[0], Group("cpu", {"CPU": 8.0}, 2, 4))
    assert schedule(up, {"CPU": 4.0}, 4).launched == {}
    assert schedule(up, {"CPU": 4.0}, 5).launched == {"cpu": 1}


def test_another_ray_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.autoscaler.v2 import scheduler

    monkeypatch.delattr(scheduler, "ResourceDemandScheduler")
    with pytest.raises(LaunchError, match=r"another autoscaler than the one kdray knows"):
        schedule(GROWING, {"CPU": 1.0}, 1)


def test_the_ray_of_the_requirements_is_the_one_whose_autoscaler_is_known() -> None:
    assert version("ray").split(".")[:2] == KNOWN.split(".")
