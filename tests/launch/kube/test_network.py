"""Who reaches a service in a cluster, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kdray.spec.target import Kubernetes, Serving
from tests.launch.kube.services import KEYS, rendered

Objects = dict[str, dict[str, Any]]


def objects(folder: Path, **serving: Any) -> Objects:
    return rendered(folder, {"serving": {"keys": KEYS, **serving}}, limits={"max_upload_mb": 50})


def callers(found: Objects, port: int) -> list[Any]:
    """Return who may reach a port of the pods, other pods of the service left out."""
    rules = found["NetworkPolicy"]["spec"]["ingress"]
    return [
        peer
        for rule in rules
        if any(each["port"] == port for each in rule.get("ports", ()))
        for peer in rule["from"]
    ]


def namespaces(peers: list[Any]) -> set[str]:
    """Return the namespaces of which all pods are let in."""
    named = [peer["namespaceSelector"] for peer in peers if "podSelector" not in peer]
    return {selector["matchLabels"]["kubernetes.io/metadata.name"] for selector in named}


def test_by_default_only_the_own_namespace_and_the_operator_reach_it(tmp_path: Path) -> None:
    found = callers(objects(tmp_path), 8000)
    operator = {"app.kubernetes.io/component": "kuberay-operator"}
    assert found == [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": operator}},
        {"podSelector": {}},
    ]


def test_rays_own_ports_are_closed_to_all_but_the_service(tmp_path: Path) -> None:
    found = objects(tmp_path, allow_from=["apps"])
    for port in (6379, 10001, 52365):
        assert callers(found, port) == []
    assert namespaces(callers(found, 8265)) == set()
    (whole,) = (rule for rule in found["NetworkPolicy"]["spec"]["ingress"] if "ports" not in rule)
    (peer,) = whole["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "ward"


def test_named_namespaces_and_networks_reach_it(tmp_path: Path) -> None:
    found = objects(tmp_path, allow_from=["apps"], allow_networks=["10.0.0.0/8"])
    peers = callers(found, 8000)
    assert {"ipBlock": {"cidr": "10.0.0.0/8"}} in peers
    assert {"podSelector": {}} not in peers
    assert namespaces([peer for peer in peers if "ipBlock" not in peer]) == {"apps"}


def test_networks_do_not_see_the_metrics(tmp_path: Path) -> None:
    found = objects(tmp_path, allow_from=["apps"], allow_networks=["10.0.0.0/8"])
    assert namespaces(callers(found, 9464)) == {"apps"}


def test_a_gateway_reaches_the_service_but_not_its_metrics(tmp_path: Path) -> None:
    route = {"kind": "gateway", "host": "a.org", "class_name": "lab", "gateway_namespace": "edge"}
    found = objects(tmp_path, route=route)
    assert namespaces(callers(found, 8000)) == {"edge"}
    assert namespaces(callers(found, 9464)) == set()


@pytest.mark.parametrize(
    "place",
    [
        {"serving": {"route": {"kind": "gateway", "host": "a.org", "class_name": "lab"}}},
        {"autoscale": True, "serving": {"upgrade": "incremental", "gateway_class": "istio"}},
    ],
    ids=["route", "KubeRay's"],
)
def test_a_gateway_in_the_targets_own_namespace_reaches_it(
    tmp_path: Path, place: dict[str, Any]
) -> None:
    serving = {**place["serving"], "keys": KEYS, "allow_from": ["monitoring"]}
    found = rendered(tmp_path, {**place, "serving": serving})
    assert {"podSelector": {}} in callers(found, 8000)
    assert {"podSelector": {}} not in callers(found, 9464)


def test_an_http_route_hangs_on_its_gateway(tmp_path: Path) -> None:
    # The fields of gateway.networking.k8s.io/v1, in full: no model of them is here to check with.
    route = {"kind": "gateway", "host": "a.org", "class_name": "lab", "gateway_namespace": "edge"}
    found = objects(tmp_path, route=route)["HTTPRoute"]
    assert found["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert found["spec"] == {
        "parentRefs": [{"name": "lab", "namespace": "edge"}],
        "hostnames": ["a.org"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"name": "ward", "port": 8000}],
            }
        ],
    }


def test_an_ingress_lets_uploads_of_the_services_size_through(tmp_path: Path) -> None:
    route = {"host": "a.org", "class_name": "nginx", "tls_secret": "cert"}
    found = objects(tmp_path, route=route, allow_from=["ingress-nginx"])["Ingress"]
    annotations = found["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "50m"
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > 60
    assert found["spec"]["tls"] == [{"hosts": ["a.org"], "secretName": "cert"}]


def test_a_route_leads_to_the_service_that_kuberay_makes(tmp_path: Path) -> None:
    found = objects(tmp_path, route={"host": "a.org"}, allow_from=["ingress-nginx"])
    service = found["RayService"]["spec"]["serveService"]
    (path,) = found["Ingress"]["spec"]["rules"][0]["http"]["paths"]
    backend = path["backend"]["service"]
    assert backend["name"] == service["metadata"]["name"]
    assert backend["port"]["name"] == service["spec"]["ports"][0]["name"]


def test_without_a_route_there_is_none(tmp_path: Path) -> None:
    assert not {"Ingress", "HTTPRoute"} & set(objects(tmp_path))


def test_a_drained_node_leaves_the_workers_of_this_service(tmp_path: Path) -> None:
    found = objects(tmp_path, min_available=2)
    budget = found["PodDisruptionBudget"]["spec"]
    cluster = found["RayService"]["spec"]["rayClusterConfig"]
    workers = cluster["workerGroupSpecs"][0]["template"]["metadata"]["labels"]
    head = cluster["headGroupSpec"]["template"]["metadata"]["labels"]
    assert budget["minAvailable"] == 2
    assert budget["selector"]["matchLabels"].items() <= workers.items()
    assert not budget["selector"]["matchLabels"].items() <= head.items()


def test_without_pods_that_must_stay_there_is_no_budget(tmp_path: Path) -> None:
    assert "PodDisruptionBudget" not in objects(tmp_path, min_available=0)


def test_the_policy_holds_for_head_and_workers(tmp_path: Path) -> None:
    found = objects(tmp_path)
    cluster = found["RayService"]["spec"]["rayClusterConfig"]
    chosen = found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert chosen.items() <= group["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("serving", "said"),
    [
        ({"route": {"host": "a.org"}}, "namespace of its controller"),
        ({"route": {"kind": "gateway", "host": "a.org"}}, "needs class_name"),
        ({"route": {"host": "a.org", "gateway_namespace": "b"}}, "no gateway_namespace"),
        (
            {"route": {"kind": "gateway", "host": "a.org", "class_name": "b", "tls_secret": "c"}},
            "no tls_secret",
        ),
        ({"route": {"host": "https://a.org"}}, "pattern"),
        ({"upgrade": "incremental"}, "needs gateway_class"),
        (
            {
                "upgrade": "incremental",
                "gateway_class": "b",
                "route": {"kind": "gateway", "host": "a.org", "class_name": "c"},
            },
            "leave out route",
        ),
        ({"allow_networks": ["10.0.0.1/8"]}, "host bits"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_written(
    serving: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        Serving.model_validate(serving)


def test_a_stepwise_upgrade_needs_the_autoscaler() -> None:
    serving = {"upgrade": "incremental", "gateway_class": "istio"}
    with pytest.raises(ValidationError, match="autoscale"):
        Kubernetes.model_validate({"kind": "kubernetes", "serving": serving})
