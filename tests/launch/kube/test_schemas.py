"""The checks of manifests find what Kubernetes would refuse or pass over."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kdray.launch.kube.render import manifests
from tests.launch.kube.given import given_job, given_order, given_target
from tests.launch.kube.schemas import open_doors, pods_of, problems


def rendered(**fields: Any) -> list[dict[str, Any]]:
    return copy.deepcopy(manifests(given_order(), given_job(), given_target(**fields)))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.entrypont", "x", "there is no field entrypont"),
        ("spec.backoffLimit", "2", "'2' is no integer"),
        ("spec.backoffLimit", 2**31, "more than 32 bits"),
        ("spec.rayClusterSpec.authOptions.mode", "tokens", "none of"),
        ("spec.rayClusterSpec.headGroupSpec.resources.CPU", 0, "0 is no string"),
        ("spec.rayClusterSpec.managedBy", "me", "must be either"),
        ("spec.deletionStrategy", {}, "requires either BOTH"),
        ("metadata.name", "x" * 48, "KubeRay refuses"),
        ("metadata.label", {}, "has no field label"),
        ("spec.submitterPodTemplate.spec.restartPolice", "Never", "no field restartPolice"),
    ],
)
def test_a_mistake_in_a_ray_job_is_found(path: str, value: Any, said: str) -> None:
    _, job = rendered()
    inner = job
    *parents, last = path.split(".")
    for key in parents:
        inner = inner[key]
    inner[last] = value
    assert any(said in problem for problem in problems(job)), problems(job)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("dta", {}, "V1ConfigMap has no field dta"),
        ("immutable", "yes", "immutable"),
        ("data", {"job.yaml": 1}, "job.yaml"),
    ],
)
def test_a_mistake_in_a_core_object_is_found(field: str, value: Any, said: str) -> None:
    config, _ = rendered()
    config[field] = value
    assert any(said in problem for problem in problems(config))


def test_a_container_without_a_name_is_found() -> None:
    pod = {"metadata": {}, "spec": {"containers": [{"image": "x"}]}}
    manifest = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}}
    assert any("name" in problem for problem in problems({**manifest, "template": pod}))


def test_a_variable_given_twice_is_found() -> None:
    _, job = rendered()
    container = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    container["env"].append(container["env"][0])
    assert any("twice" in problem for problem in problems(job))


def test_a_mount_of_no_volume_is_found() -> None:
    _, job = rendered()
    job["spec"]["submitterPodTemplate"]["spec"]["volumes"] = []
    assert any("there is no volume scratch" in problem for problem in problems(job))


def test_an_object_of_an_unknown_kind_is_a_problem() -> None:
    strange = {"apiVersion": "v1", "kind": "Pot", "metadata": {"name": "x"}}
    assert problems(strange) == ["v1 Pot: unknown"]


@pytest.mark.parametrize("field", ["allowPrivilegeEscalation", "capabilities"])
def test_an_open_door_of_a_pod_is_found(field: str) -> None:
    _, job = rendered()
    _, pod = next(pods_of(job))
    assert open_doors(pod) == []
    del pod["spec"]["containers"][0]["securityContext"][field]
    assert len(open_doors(pod)) == 1
