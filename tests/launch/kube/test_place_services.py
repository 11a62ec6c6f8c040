"""A service sent to a small API server, changed, and sent again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdray.errors import LaunchError
from kdray.launch.kube.place import KubernetesPlace
from kdray.launch.place import Sent
from kdray.spec.target import Kubernetes
from tests.launch.kube.api_server import ApiServer
from tests.launch.kube.services import KEYS, sent

ROUTE = {"route": {"host": "a.org"}, "allow_from": ["ingress-nginx"]}


def send(folder: Path, serving: dict[str, Any] | None = None, **fields: Any) -> Sent:
    """Send a service with an Ingress, or with other settings of the target."""
    place = {"serving": {"keys": KEYS, **(ROUTE if serving is None else serving)}}
    order, target = sent(folder, place, **fields)
    assert isinstance(target.place, Kubernetes)
    return KubernetesPlace(target.place, pause=lambda _: None).submit(order)


def test_a_service_is_sent_with_all_that_belongs_to_it(server: ApiServer, tmp_path: Path) -> None:
    done = send(tmp_path)
    assert (done.attached, done.seen.id, done.seen.state) == (False, "ward", "pending")
    (service,) = server.holds("RayService")
    for kind in ("Service", "NetworkPolicy", "PodDisruptionBudget", "Ingress"):
        (part,) = server.holds(kind)
        (owner,) = part["metadata"]["ownerReferences"]
        assert owner["uid"] == service["metadata"]["uid"]


def test_the_same_service_sent_twice_is_found_there(server: ApiServer, tmp_path: Path) -> None:
    send(tmp_path)
    again = send(tmp_path)
    assert again.attached
    assert again.notes == ()


def test_a_changed_service_is_upgraded_under_its_name(server: ApiServer, tmp_path: Path) -> None:
    send(tmp_path)
    again = send(tmp_path, audit=False)
    assert not again.attached
    assert "upgraded" in " ".join(again.notes)
    (service,) = server.holds("RayService")
    assert "audit: false" in service["spec"]["serveConfigV2"]


def test_what_a_service_has_no_more_is_deleted(server: ApiServer, tmp_path: Path) -> None:
    send(tmp_path)
    again = send(tmp_path, {"min_available": 0})
    assert server.holds("Ingress") == []
    assert server.holds("PodDisruptionBudget") == []
    assert len(server.holds("NetworkPolicy")) == 1
    assert "Ingress ward" in " ".join(again.notes)


def test_who_may_not_list_routes_still_has_an_old_one_deleted(
    server: ApiServer, tmp_path: Path
) -> None:
    send(tmp_path)
    forbidden = (403, json.dumps({"message": "ingresses is forbidden: cannot list"}))
    server.answers["GET", ".*/(ingresses|poddisruptionbudgets|httproutes)"] = forbidden
    send(tmp_path, {})
    assert server.holds("Ingress") == []


def test_a_route_that_may_be_left_is_told(server: ApiServer, tmp_path: Path) -> None:
    send(tmp_path)
    server.answers["GET", ".*/ingresses/ward"] = (500, json.dumps({"message": "etcd is busy"}))
    again = send(tmp_path, {})
    assert "Ingress ward is left from before" in " ".join(again.notes)


def test_a_route_that_somebody_else_made_stays(server: ApiServer, tmp_path: Path) -> None:
    send(tmp_path, {})
    metadata = {"name": "ward", "namespace": "lab"}
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"}
    server.put({**kind, "metadata": metadata, "spec": {}})
    send(tmp_path, {}, audit=False)
    assert len(server.holds("Ingress")) == 1


def test_another_services_route_stays(server: ApiServer, tmp_path: Path) -> None:
    send(tmp_path, name="other")
    send(tmp_path, {})
    assert [each["metadata"]["name"] for each in server.holds("Ingress")] == ["other"]


def test_a_refused_change_leaves_the_service_as_it_was(server: ApiServer, tmp_path: Path) -> None:
    send(tmp_path)
    server.answers["PATCH", ".*/rayservices/.*"] = (403, json.dumps({"message": "no"}))
    with pytest.raises(LaunchError):
        send(tmp_path, {}, audit=False)
    assert len(server.holds("RayService")) == 1
    assert len(server.holds("Ingress")) == 1
