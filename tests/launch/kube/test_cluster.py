"""The RayCluster that jobs and services share."""

from __future__ import annotations

from typing import Any

import pytest

from kdray.launch.kube.cluster import ray_cluster
from kdray.launch.kube.pods import Extra
from kdray.spec.target import Group
from tests.launch.kube.given import given_order, given_place

GROUPS = (Group(name="cpu", max=3),)


def made(groups: tuple[Group, ...] = GROUPS, **fields: Any) -> dict[str, Any]:
    return ray_cluster(given_order(), given_place(**fields), groups)


def test_a_head_has_no_cpus_for_tasks() -> None:
    assert made()["headGroupSpec"]["resources"]["CPU"] == "0"


def test_the_head_has_the_ports_by_which_kuberay_makes_its_service() -> None:
    container = made()["headGroupSpec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"gcs-server": 6379, "dashboard": 8265, "metrics": 8080}


def test_further_ports_come_beside_those_of_the_head() -> None:
    spec = ray_cluster(given_order(), given_place(), GROUPS, Extra(ports=(("serve", 8000),)))
    container = spec["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert container["ports"][-1] == {"name": "serve", "containerPort": 8000}
    assert len(container["ports"]) == 4


def test_the_autoscaler_writes_where_its_pod_lets_it() -> None:
    spec = made(autoscale=True)
    volumes = {v["name"] for v in spec["headGroupSpec"]["template"]["spec"]["volumes"]}
    options = spec["autoscalerOptions"]
    assert {mount["name"] for mount in options["volumeMounts"]} <= volumes
    assert options["resources"]["requests"] == options["resources"]["limits"]


@pytest.mark.parametrize(("auth", "mode"), [("none", "disabled"), ("token", None)])
def test_the_autoscaler_is_told_how_ray_is_closed(auth: str, mode: str | None) -> None:
    # The mode of a token is told by KubeRay, together with the token.
    variables = made(autoscale=True, auth=auth)["autoscalerOptions"]["env"]
    assert {one["name"]: one["value"] for one in variables}.get("RAY_AUTH_MODE") == mode


def test_nothing_is_said_of_an_autoscaler_that_is_not_there() -> None:
    spec = made()
    assert spec["enableInTreeAutoscaling"] is False
    assert "autoscalerOptions" not in spec
    assert "idleTimeoutSeconds" not in spec["workerGroupSpecs"][0]


def test_a_worker_leaves_ray_before_it_ends() -> None:
    container = made()["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["ray", "stop"]
