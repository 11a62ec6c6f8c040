"""A service as KubeRay gets it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)

from kdray.served.cluster import SETTINGS
from kdray.spec.target import Kubernetes
from tests.launch.kube.schemas import check, open_doors, pods_of
from tests.launch.kube.services import KEYS, rendered, sent, serve_config, worker_pod

KEYED: dict[str, Any] = {"keys": KEYS}
PLACES: dict[str, dict[str, Any]] = {
    "plain": {"serving": KEYED},
    "stepwise": {
        "autoscale": True,
        "serving": {**KEYED, "upgrade": "incremental", "gateway_class": "istio"},
    },
    "in place": {"serving": {**KEYED, "upgrade": "none", "min_available": 0}},
    "full": {
        "namespace": "ward",
        "pull_secrets": ["registry"],
        "service_account": "kdray",
        "groups": [
            {"name": "large", "cpus": 8, "memory": "16Gi", "max": 3, "spot": True},
            {"name": "small", "node_selector": {"pool": "1e3"}, "min": 1, "max": 2},
        ],
        "spot_tolerations": [{"key": "spot"}],
        "queue": "lab",
        "priority_class": "high",
        "fault_tolerance": {"redis": "redis:6379", "password": {"secret": "redis", "key": "pw"}},
        "secret_environment": {"AWS_SECRET_ACCESS_KEY": {"secret": "s3", "key": "secret"}},
        "environment": {"AWS_ENDPOINT_URL": "http://minio:9000"},
        "volumes": [{"claim": "models", "path": "/models"}],
        "auth": "none",
        "serving": {
            **KEYED,
            "route": {"host": "kdray.example.org", "class_name": "nginx", "tls_secret": "cert"},
            "allow_from": ["ingress-nginx", "monitoring"],
            "allow_networks": ["10.0.0.0/8"],
        },
    },
}


@pytest.fixture(params=list(PLACES))
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Return the manifests of a service for each of the targets."""
    return rendered(tmp_path, PLACES[request.param], autoscaling={"max_replicas": 3})


def test_kubernetes_and_kuberay_know_every_field(objects: dict[str, dict[str, Any]]) -> None:
    for item in objects.values():
        check(item)


def test_the_service_inside_is_one_that_kubernetes_knows(tmp_path: Path) -> None:
    inside = rendered(tmp_path)["RayService"]["spec"]["serveService"]
    check({"apiVersion": "v1", "kind": "Service", **inside})


def test_no_pod_has_an_open_door(objects: dict[str, dict[str, Any]]) -> None:
    pods = list(pods_of(objects["RayService"]))
    assert len(pods) >= 2
    for place, pod in pods:
        assert open_doors(pod) == [], place


def test_ray_reads_its_nodes_from_it(tmp_path: Path) -> None:
    place = {"autoscale": True, "serving": KEYED}
    objects = rendered(tmp_path, place, autoscaling={"min_replicas": 1, "max_replicas": 3})
    cluster = {
        "metadata": {"name": "ward-x", "namespace": "ward"},
        "spec": objects["RayService"]["spec"]["rayClusterConfig"],
    }
    nodes = _derive_autoscaling_config_from_ray_cr(cluster)["available_node_types"]
    group = nodes["serve"]
    assert (group["min_workers"], group["max_workers"]) == (1, 3)
    assert group["resources"]["CPU"] == 2  # a replica that predicts and one that explains
    assert nodes["headgroup"]["resources"]["CPU"] == 0


def test_pods_have_the_settings_that_the_service_has_on_one_machine(
    objects: dict[str, dict[str, Any]],
) -> None:
    for _, pod in pods_of(objects["RayService"]):
        given = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
        assert given.items() >= SETTINGS.items()


def test_no_variable_of_a_pod_can_be_given_again_by_the_target(
    objects: dict[str, dict[str, Any]],
) -> None:
    own = {"AWS_ENDPOINT_URL", "AWS_SECRET_ACCESS_KEY", *SETTINGS}
    for _, pod in pods_of(objects["RayService"]):
        for variable in {each["name"] for each in pod["spec"]["containers"][0]["env"]} - own:
            with pytest.raises(ValidationError, match=f"{variable} is set by kdray"):
                Kubernetes.model_validate({"kind": "kubernetes", "environment": {variable: "x"}})


def test_a_changed_service_keeps_its_name_and_gets_a_new_cluster(tmp_path: Path) -> None:
    before = rendered(tmp_path)["RayService"]
    after = rendered(tmp_path, audit=False)["RayService"]
    assert before["metadata"]["name"] == after["metadata"]["name"] == "ward"
    assert before["spec"]["rayClusterConfig"] != after["spec"]["rayClusterConfig"]


def test_without_upgrades_a_changed_service_keeps_its_cluster(tmp_path: Path) -> None:
    place = {"serving": {**KEYED, "upgrade": "none"}}
    before = rendered(tmp_path, place)["RayService"]["spec"]
    after = rendered(tmp_path, place, audit=False)["RayService"]["spec"]
    assert before["rayClusterConfig"] == after["rayClusterConfig"]
    assert before["serveConfigV2"] != after["serveConfigV2"]
    assert after["upgradeStrategy"] == {"type": "None"}


def test_a_stepwise_upgrade_leaves_the_services_to_kuberay(tmp_path: Path) -> None:
    spec = rendered(tmp_path, PLACES["stepwise"])["RayService"]["spec"]
    assert spec["upgradeStrategy"]["type"] == "NewClusterWithIncrementalUpgrade"
    assert spec["upgradeStrategy"]["clusterUpgradeOptions"]["gatewayClassName"] == "istio"
    assert spec["rayClusterConfig"]["enableInTreeAutoscaling"] is True
    assert "serveService" not in spec


@pytest.mark.parametrize(
    ("name", "expected"), [("ward", "ward"), ("ward.2", "ward-2-"), ("3t", "j-3t-")]
)
def test_a_name_that_kubernetes_refuses_becomes_one_that_it_takes(
    tmp_path: Path, name: str, expected: str
) -> None:
    order, _ = sent(tmp_path, name=name)
    assert order.id.startswith(expected)
    check(rendered(tmp_path, name=name)["RayService"])


def test_names_that_differ_in_a_dot_only_are_two_services(tmp_path: Path) -> None:
    ids = {sent(tmp_path, name=name)[0].id for name in ("a-b", "a.b", "a..b")}
    assert len(ids) == 3


def test_the_longest_name_still_is_one_for_kuberay(tmp_path: Path) -> None:
    for item in rendered(tmp_path, name="w" * 60).values():
        check(item)


def test_the_old_cluster_stays_as_long_as_an_explanation_may_take(tmp_path: Path) -> None:
    spec = rendered(tmp_path, limits={"explain_seconds": 300})["RayService"]["spec"]
    assert spec["rayClusterDeletionDelaySeconds"] > 300


def test_redis_is_named_with_its_secret(tmp_path: Path) -> None:
    cluster = rendered(tmp_path, PLACES["full"])["RayService"]["spec"]["rayClusterConfig"]
    assert cluster["gcsFaultToleranceOptions"] == {
        "redisAddress": "redis:6379",
        "redisPassword": {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "pw"}}},
    }


def test_a_queued_service_says_its_queue(tmp_path: Path) -> None:
    labels = rendered(tmp_path, PLACES["full"])["RayService"]["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "lab"


def test_only_pods_with_a_proxy_are_ready(tmp_path: Path) -> None:
    container = worker_pod(rendered(tmp_path))["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert container["readinessProbe"]["httpGet"] == {"path": "/-/healthz", "port": 8000}
    assert ports["serve"] == 8000


def test_the_head_gets_no_requests(tmp_path: Path) -> None:
    objects = rendered(tmp_path)
    spec = objects["RayService"]["spec"]
    assert spec["excludeHeadPodFromServeSvc"] is True
    assert spec["rayClusterConfig"]["headGroupSpec"]["resources"]["CPU"] == "0"
    assert serve_config(objects)["proxy_location"] == "EveryNode"


def test_replicas_write_their_log_where_the_clusters_logs_are_read(tmp_path: Path) -> None:
    given = worker_pod(rendered(tmp_path))["spec"]["containers"][0]["env"]
    (where,) = (each["value"] for each in given if each["name"] == "KDRAY_SERVE_LOG")
    assert where == "/proc/1/fd/2"  # the container's standard error, which a pipe is


def test_a_process_can_open_the_standard_error_of_another_by_that_path() -> None:
    reader, writer = os.pipe()
    with open(f"/proc/{os.getpid()}/fd/{writer}", "w", buffering=1) as again:
        again.write("line\n")
    os.close(writer)
    with open(reader) as said:
        assert said.read() == "line\n"


def test_prometheus_finds_the_counts_of_each_pod(tmp_path: Path) -> None:
    objects = rendered(tmp_path)
    pod = worker_pod(objects)
    given = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
    paths = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == "9464"
    assert given["KDRAY_SERVE_METRICS_PORT"] == "9464"
    assert given["PROMETHEUS_MULTIPROC_DIR"] in paths
    selector = objects["Service"]["spec"]["selector"]
    assert selector.items() <= pod["metadata"]["labels"].items()
