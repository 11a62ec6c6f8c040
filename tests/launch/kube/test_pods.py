"""Pods: closed, as large as Ray is told, and where the target wants them."""

from __future__ import annotations

from typing import Any

import pytest

from kdray.launch.kube import pods
from kdray.spec.target import Kubernetes, Pods
from tests.launch.kube.given import given_order, given_place
from tests.launch.kube.schemas import open_doors


def template(component: str = "worker", place: Kubernetes | None = None, **fields: Any) -> Any:
    return pods.ray_pod(
        Pods.model_validate(fields), place or given_place(), given_order(), component
    )["spec"]


def variables(place: Kubernetes, kind: str = "Experiment") -> dict[str, Any]:
    return {
        one["name"]: one.get("value", one.get("valueFrom"))
        for one in pods.environment(place, kind)
    }


def test_a_pod_has_no_open_door() -> None:
    assert open_doors({"spec": template("head")}) == []


def test_a_pod_asks_for_what_it_gets_at_most() -> None:
    asked = template(cpus=8, memory="24Gi", gpus=2)["containers"][0]["resources"]
    assert asked["requests"] == asked["limits"]
    assert asked["limits"] == {"cpu": "8", "memory": "24Gi", "nvidia.com/gpu": "2"}


def test_a_pod_without_gpus_asks_for_none() -> None:
    assert set(template()["containers"][0]["resources"]["limits"]) == {"cpu", "memory"}


def test_ray_is_told_what_the_pod_has() -> None:
    wanted = Pods(cpus=8, memory="24Gi", gpus=2)
    assert pods.ray_resources(wanted) == {"CPU": "8", "memory": "24Gi", "GPU": "2"}


def test_a_head_that_does_not_work_has_no_cpus_or_gpus_for_tasks() -> None:
    wanted = Pods(cpus=8, memory="24Gi", gpus=2)
    assert pods.ray_resources(wanted, works=False) == {"CPU": "0", "memory": "24Gi", "GPU": "0"}


@pytest.mark.parametrize(
    ("fields", "size"),
    [({"memory": "10Gi"}, "3072Mi"), ({"memory": "10Gi", "shm": "4Gi"}, "4096Mi")],
)
def test_shared_memory_is_a_part_of_the_memory(fields: dict[str, str], size: str) -> None:
    volumes = {volume["name"]: volume for volume in template(**fields)["volumes"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": size}


def test_the_object_store_leaves_a_tenth_of_the_shared_memory() -> None:
    # 0.9 * 1 GiB = 966,367,641.6 bytes
    assert pods.ray_start(Pods(memory="4Gi", shm="1Gi")) == {"object-store-memory": "966367641"}


def test_a_container_can_write_to_scratch_space_only() -> None:
    spec = template(scratch="7Gi")
    writable = {
        mount["mountPath"]
        for mount in spec["containers"][0]["volumeMounts"]
        if not mount.get("readOnly")
    }
    assert writable == {"/tmp", "/home/kdray", "/dev/shm"}
    assert spec["volumes"][0] == {"name": "scratch", "emptyDir": {"sizeLimit": "7Gi"}}


def test_secrets_are_named_and_never_written_out() -> None:
    key = {"secret": "s3", "key": "secret-key"}
    found = variables(given_place(secret_environment={"AWS_SECRET_ACCESS_KEY": key}))
    assert found["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "s3", "key": "secret-key"}}


def test_the_targets_variables_win_over_our_settings() -> None:
    found = variables(given_place(environment={"TUNE_GLOBAL_CHECKPOINT_S": 5}))
    assert found["TUNE_GLOBAL_CHECKPOINT_S"] == "5"


def test_training_and_serving_have_settings_of_their_own() -> None:
    assert "MALLOC_ARENA_MAX" in variables(given_place())
    assert "MALLOC_ARENA_MAX" not in variables(given_place(), "Service")
    assert "RAY_SERVE_THROUGHPUT_OPTIMIZED" in variables(given_place(), "Service")


def test_without_authentication_ray_is_told_so() -> None:
    assert variables(given_place(auth="none"))["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_AUTH_MODE" not in variables(given_place())


@pytest.mark.parametrize(
    ("component", "autoscale", "sees"),
    [("head", True, True), ("head", False, False), ("worker", True, False)],
)
def test_only_a_head_with_an_autoscaler_sees_a_token_of_kubernetes(
    component: str, autoscale: bool, sees: bool
) -> None:
    spec = template(component, given_place(autoscale=autoscale))
    assert spec["automountServiceAccountToken"] is sees


def test_a_spot_pod_goes_where_spot_nodes_are() -> None:
    place = given_place(
        spot_selector={"life": "spot", "zone": "a"},
        spot_tolerations=[{"key": "spot", "effect": "NoSchedule"}],
    )
    own = {"node_selector": {"zone": "b"}, "tolerations": [{"key": "gpu", "value": "yes"}]}
    spec = template(place=place, spot=True, **own)
    assert spec["nodeSelector"] == {"life": "spot", "zone": "b"}
    assert spec["tolerations"] == [
        {"key": "gpu", "operator": "Equal", "value": "yes"},
        {"key": "spot", "operator": "Exists", "effect": "NoSchedule"},
    ]
    assert "nodeSelector" not in template(place=place)


def test_a_pod_has_the_targets_rank_rights_and_image() -> None:
    place = given_place(
        image="host/kdray:1",
        pull_policy="Always",
        pull_secrets=["pull"],
        service_account="trainer",
        priority_class="high",
    )
    spec = template(place=place)
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert (spec["serviceAccountName"], spec["priorityClassName"]) == ("trainer", "high")
    container = spec["containers"][0]
    assert (container["image"], container["imagePullPolicy"]) == ("host/kdray:1", "Always")


def test_every_pod_mounts_the_targets_volumes() -> None:
    place = given_place(volumes=[{"claim": "images", "path": "/data"}])
    spec = template(place=place)
    mount = spec["containers"][0]["volumeMounts"][-1]
    assert mount["mountPath"] == "/data"
    assert mount["readOnly"] is True
    claim = next(volume for volume in spec["volumes"] if volume["name"] == mount["name"])
    assert claim["persistentVolumeClaim"] == {"claimName": "images", "readOnly": True}


def test_kuberay_keeps_the_label_that_its_services_select() -> None:
    made = pods.ray_pod(Pods(), given_place(), given_order(), "head")
    assert "app.kubernetes.io/name" not in made["metadata"]["labels"]
    assert made["metadata"]["labels"]["app.kubernetes.io/instance"] == "lesions-0123abcd"
