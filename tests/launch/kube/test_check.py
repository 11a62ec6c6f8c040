from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kdray.launch.finding import Check
from kdray.launch.kube.check import kubernetes_checks
from tests.launch.kube.api_server import ApiServer
from tests.launch.kube.given import given_place

Object = dict[str, Any]


def found(**fields: Any) -> dict[str, list[Check]]:
    """Return what is found out about a place, by name."""
    checks: dict[str, list[Check]] = {}
    for check in kubernetes_checks(given_place(**fields)):
        checks.setdefault(check.name, []).append(check)
    return checks


def one(name: str, **fields: Any) -> Check:
    (check,) = found(**fields)[name]
    return check


def thing(kind: str, name: str, version: str = "v1", **content: Any) -> Object:
    where = {} if kind in ("Namespace", "Node", "PriorityClass") else {"namespace": "lab"}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **where}, **content}


def operator(image: str = "quay.io/kuberay/operator:v1.6.0", ready: int = 1, *args: str) -> Object:
    deployment = thing(
        "Deployment",
        "kuberay-operator",
        "apps/v1",
        spec={"template": {"spec": {"containers": [{"image": image, "args": list(args)}]}}},
        status={"readyReplicas": ready},
    )
    deployment["metadata"]["labels"] = {"app.kubernetes.io/name": "kuberay-operator"}
    return deployment


def node(name: str = "n1", gpus: int = 0, **content: Any) -> Object:
    has = {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": str(gpus)}
    return thing("Node", name, spec=content, status={"allocatable": has})


def test_a_right_cluster_has_no_failure(server: ApiServer) -> None:
    server.put(thing("Namespace", "lab"), operator(), node())
    checks = found(image="reg.example.org/kdray:1")
    assert {check.state for each in checks.values() for check in each} == {"ok"}
    assert set(checks) == {
        "cluster",
        "namespace",
        "KubeRay",
        "operator",
        "rights",
        "image",
        "nodes",
        "dry run",
    }
    assert checks["cluster"][0].fact.startswith("Kubernetes lab, namespace lab: v1.34.4 at http")


def test_the_doctor_makes_nothing(server: ApiServer) -> None:
    found()
    assert server.objects == {}


def test_without_a_kubeconfig_nothing_else_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    checks = found()
    assert list(checks) == ["cluster"]
    assert checks["cluster"][0].state == "fail"


def test_expired_credentials_are_told(server: ApiServer) -> None:
    server.answers["GET", ".*"] = (401, "{}")
    assert one("cluster").fact.endswith("HTTP status 401")


def test_a_missing_namespace_fails(server: ApiServer) -> None:
    assert one("namespace").fact == "there is no namespace lab"


def test_a_cluster_without_kuberay_fails(server: ApiServer) -> None:
    server.answers["GET", "/apis/ray.io/v1"] = (404, "404 page not found\n")
    check = one("KubeRay")
    assert (check.state, check.fact) == ("fail", "the cluster knows no RayJob")
    assert "operator" in check.remedy


@pytest.mark.parametrize(
    ("deployment", "state", "fact"),
    [
        (operator(), "ok", "kuberay-operator in lab: v1.6.0"),
        (operator("op:v1.2.0"), "fail", "too old"),
        (operator("op:v1.5.0"), "fail", "too old"),
        (operator("op:v1.5.1"), "ok", "v1.5.1"),
        (operator(ready=0), "warn", "no pod is ready"),
        (operator("op:v1.6.0", 1, "--watch-namespace=a,b"), "fail", "watches a, b only"),
        (operator("op:v1.6.0", 1, "--watch-namespace", "lab"), "ok", "v1.6.0"),
    ],
)
def test_the_operator_is_looked_at(
    server: ApiServer, deployment: Object, state: str, fact: str
) -> None:
    server.put(deployment)
    check = one("operator")
    assert check.state == state
    assert fact in check.fact


def test_no_operator_in_sight_is_a_warning(server: ApiServer) -> None:
    assert one("operator").state == "warn"


def test_what_may_not_be_looked_at_is_a_note(server: ApiServer) -> None:
    server.answers["GET", "/apis/apps/.*"] = (403, "{}")
    check = one("operator")
    assert check.state == "note"
    assert "may not be looked at" in check.fact


@pytest.mark.parametrize("status", [401, 503])
def test_what_cannot_be_looked_at_fails(server: ApiServer, status: int) -> None:
    server.answers["GET", "/api/v1/nodes"] = (status, "{}")
    assert one("nodes").state == "fail"


def test_a_page_to_log_in_is_no_cluster(server: ApiServer) -> None:
    server.answers["GET", ".*"] = (200, "<html>")
    check = one("cluster")
    assert (check.state, "no API server of Kubernetes" in check.fact) == ("fail", True)


def test_kinds_that_may_not_be_seen_are_not_called_missing(server: ApiServer) -> None:
    server.answers["GET", "/apis/ray.io/v1"] = (403, "{}")
    assert one("KubeRay").state == "note"


def test_missing_rights_are_listed_by_resource(server: ApiServer) -> None:
    server.denied = {"rayjobs", "events", "ingresses"}
    jobs, reasons, services = found()["rights"]
    assert (jobs.state, reasons.state, services.state) == ("fail", "warn", "note")
    assert jobs.fact == "you may not get, list, create, patch, delete rayjobs.ray.io"
    assert reasons.fact.startswith("you may not list events: ")
    assert "ingresses.networking.k8s.io" in services.fact


def test_rights_are_asked_for_what_the_target_uses(server: ApiServer) -> None:
    server.put(thing("LocalQueue", "team", "kueue.x-k8s.io/v1beta1"))
    server.denied = {"workloads", "httproutes"}
    assert {check.state for check in found()["rights"]} == {"ok"}
    route = {"kind": "gateway", "host": "a.org", "class_name": "outside"}
    jobs, reasons, services = found(queue="team", serving={"route": route})["rights"]
    assert jobs.state == "ok"
    assert reasons.fact.startswith("you may not list workloads.kueue.x-k8s.io: ")
    assert "httproutes.gateway.networking.k8s.io" in services.fact


def secret(name: str, *keys: str) -> Object:
    return thing("Secret", name, data={key: base64.b64encode(b"x").decode() for key in keys})


def test_secrets_and_their_keys_are_looked_for(server: ApiServer) -> None:
    server.put(secret("s3", "id"))
    wanted = {"A": {"secret": "s3", "key": "id"}, "B": {"secret": "s3", "key": "other"}}
    assert one("secret", secret_environment=wanted).fact == "the Secret s3 has no key other"
    del wanted["B"]
    assert one("secret", secret_environment=wanted).state == "ok"
    wanted = {"A": {"secret": "gone", "key": "id"}}
    assert one("secret", secret_environment=wanted).fact == "there is no Secret gone"


def test_secrets_that_may_not_be_read_are_a_note(server: ApiServer) -> None:
    server.answers["GET", ".*/secrets/.*"] = (403, "{}")
    wanted = {"A": {"secret": "s3", "key": "id"}}
    assert one("secret", secret_environment=wanted).state == "note"


def test_pull_secrets_are_of_the_right_kind(server: ApiServer) -> None:
    server.put(secret("reg", "password"))
    check = one("pull secret", pull_secrets=["reg"])
    assert check.fact == "the Secret reg has no key .dockerconfigjson"


@pytest.mark.parametrize(
    ("image", "policy", "state"),
    [
        ("reg.example.org/kdray:1", "IfNotPresent", "ok"),
        ("reg.example.org/kdray:latest", "IfNotPresent", "warn"),
        ("reg.example.org/kdray", "Always", "ok"),
        ("reg.example.org:5000/kdray@sha256:0", "IfNotPresent", "ok"),
        ("kdray:1", "Never", "note"),
    ],
)
def test_images_that_change_under_one_name_are_a_warning(
    server: ApiServer, image: str, policy: str, state: str
) -> None:
    assert one("image", image=image, pull_policy=policy).state == state


@pytest.mark.parametrize(
    ("field", "name"),
    [("service_account", "service account"), ("queue", "queue"), ("priority_class", "priority")],
)
def test_what_the_target_names_has_to_be_there(server: ApiServer, field: str, name: str) -> None:
    assert one(name, **{field: "gone"}).state == "fail"


def test_a_queue_that_takes_no_jobs_fails(server: ApiServer) -> None:
    inactive = {"type": "Active", "status": "False", "message": "Can't submit: no ClusterQueue"}
    queue = thing(
        "LocalQueue", "team", "kueue.x-k8s.io/v1beta1", status={"conditions": [inactive]}
    )
    server.put(queue)
    assert one("queue", queue="team").fact == "team takes no jobs: Can't submit: no ClusterQueue"
    queue["status"] = {"pendingWorkloads": 3, "admittedWorkloads": 2}
    assert one("queue", queue="team").fact == "team, where 3 jobs wait and 2 run"


def test_a_cluster_without_kueue_is_told(server: ApiServer) -> None:
    server.answers["GET", "/apis/kueue.*"] = (404, "404 page not found\n")
    check = one("queue", queue="team")
    assert check.state == "fail"
    assert "Kueue" in check.remedy


def test_a_volume_for_one_node_is_a_warning(server: ApiServer) -> None:
    claim = thing("PersistentVolumeClaim", "images", spec={"accessModes": ["ReadWriteOnce"]})
    server.put(claim)
    volume = {"claim": "images", "path": "/data"}
    assert one("volume", volumes=[volume]).state == "warn"
    assert one("volume", volumes=[{**volume, "claim": "gone"}]).state == "fail"


def test_groups_with_gpus_need_nodes_with_gpus(server: ApiServer) -> None:
    server.put(node("n1"), node("n2", unschedulable=True))
    group = {"name": "gpu", "gpus": 2, "max": 4}
    head, gpu = found(groups=[group])["nodes"]
    assert head.state == "ok"
    assert gpu.fact == (
        "none of 1 nodes can hold a pod of group gpu (2 CPUs, 4Gi, 2 GPUs): 1 with too little "
        "nvidia.com/gpu"
    )
    server.put(node("n3", gpus=2))
    _, gpu = found(groups=[group])["nodes"]
    assert gpu.state == "ok"


def test_nodes_with_other_labels_or_taints_do_not_count(server: ApiServer) -> None:
    taint = {"key": "gpu", "value": "only", "effect": "NoSchedule"}
    server.put(node("n1", taints=[taint]), node("n2"))
    head = {"node_selector": {"pool": "x"}}
    assert "2 without the labels of node_selector" in one("nodes", head=head).fact
    assert one("nodes").fact.startswith("1 of 2 nodes")
    tolerant = {"tolerations": [{"key": "gpu"}]}
    assert one("nodes", head=tolerant).fact.startswith("2 of 2 nodes")


def test_a_quota_without_room_is_a_warning(server: ApiServer) -> None:
    status = {
        "hard": {"requests.cpu": "10", "limits.memory": "64Gi", "count/rayjobs.ray.io": "5"},
        "used": {"requests.cpu": "4", "limits.memory": "60Gi"},
    }
    server.put(thing("ResourceQuota", "team", status=status))
    group = {"name": "cpu", "cpus": 2, "memory": "8Gi", "max": 3}
    assert one("quota", groups=[group]).fact == (
        "team has no room for all pods of the target: requests.cpu 8 of 6 left; "
        "limits.memory 28.0Gi of 4.0Gi left"
    )
    assert (
        one("quota", groups=[{**group, "memory": "1Gi", "max": 1}], head={"memory": "1Gi"}).state
        == "ok"
    )


def test_what_admission_refuses_is_found_by_a_dry_run(server: ApiServer) -> None:
    said = 'admission webhook "vrayjob.kb.io" denied the request: no owner'
    server.answers["PATCH", ".*/rayjobs/.*"] = (403, json.dumps({"message": said}))
    check = one("dry run")
    assert check.state == "fail"
    assert "webhook vrayjob.kb.io refuses it: no owner" in check.fact
