"""What stands between a service and the network: service, routes, policy, disruption budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kdray.spec.service import Service
from kdray.spec.target import Kubernetes, Route

#: Where Serve's proxies listen in the pods.
PORT = 8000
#: Name of that port; KubeRay looks for it.
PORT_NAME = "serve"
#: Where each pod shows the service's counts, and where Ray's agent shows Ray's.
METRICS_PORT, RAY_METRICS_PORT = 9464, 8080
#: Of the head: where KubeRay's operator tells Serve what to serve.
_DASHBOARD_PORT = 8265
_OPERATOR = {"app.kubernetes.io/component": "kuberay-operator"}

#: Makes the metadata of an object: its name, and its part in the service -> the metadata.
Metadata = Callable[[str, str], dict[str, Any]]


def serve_service(name: str, metadata: Metadata, service: Service) -> dict[str, Any]:
    """Return the Service that answers, which KubeRay makes.

    It is the operator who points it at the cluster that is ready, so it cannot be a manifest of
    its own: that would send requests to a new cluster before its models are loaded.

    Args:
        name: Name of the service.
        metadata: Makes metadata.
        service: The job.
    """
    port = {"name": PORT_NAME, "port": service.port, "targetPort": PORT, "protocol": "TCP"}
    return {
        "metadata": metadata(name, "service"),
        "spec": {"type": "ClusterIP", "ports": [port]},
    }


def metrics_service(name: str, metadata: Metadata, pods: dict[str, str]) -> dict[str, Any]:
    """Return the headless Service by which Prometheus finds each pod.

    Args:
        name: Name of the service.
        metadata: Makes metadata.
        pods: Labels of the pods.
    """
    ports = [("kdray-metrics", METRICS_PORT), ("metrics", RAY_METRICS_PORT)]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(f"{name}-metrics", "metrics"),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,  # who is not ready is looked at first
            "selector": pods,
            "ports": [{"name": word, "port": port, "targetPort": port} for word, port in ports],
        },
    }


def network_policy(
    name: str, metadata: Metadata, pods: dict[str, str], place: Kubernetes
) -> dict[str, Any]:
    """Return who may reach the service's pods: themselves, the operator, and ``allow_from``.

    Args:
        name: Name of the service.
        metadata: Makes metadata.
        pods: Labels of the pods.
        place: The target.
    """
    serving = place.serving
    friends = [_namespace(label) for label in serving.allow_from] or [{"podSelector": {}}]
    callers = [*friends, *_gate(place)]
    callers += [{"ipBlock": {"cidr": network}} for network in serving.allow_networks]
    operator = {"namespaceSelector": {}, "podSelector": {"matchLabels": _OPERATOR}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(name, "network-policy"),
        "spec": {
            "podSelector": {"matchLabels": pods},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": {"matchLabels": pods}}]},
                {"from": [operator], "ports": _ports(_DASHBOARD_PORT, PORT)},
                {"from": callers, "ports": _ports(PORT)},
                {"from": friends, "ports": _ports(METRICS_PORT, RAY_METRICS_PORT)},
            ],
        },
    }


def disruption_budget(
    name: str, metadata: Metadata, workers: dict[str, str], min_available: int
) -> dict[str, Any]:
    """Return how many worker pods a drained node must leave.

    Args:
        name: Name of the service.
        metadata: Makes metadata.
        workers: Labels of the worker pods.
        min_available: Pods that have to stay.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name, "disruption-budget"),
        "spec": {
            "minAvailable": min_available,
            "selector": {"matchLabels": workers},
            # A pod that does not answer anyway must not keep a node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def routes(name: str, metadata: Metadata, service: Service, place: Kubernetes) -> list[Any]:
    """Return the way from outside, where the target has one.

    Args:
        name: Name of the service.
        metadata: Makes metadata.
        service: The job.
        place: The target.
    """
    route = place.serving.route
    if route is None:
        return []
    if route.kind == "gateway":
        return [_http_route(name, metadata, service, route)]
    return [_ingress(name, metadata, service, route)]


def _ingress(name: str, metadata: Metadata, service: Service, route: Route) -> dict[str, Any]:
    backend = {"service": {"name": name, "port": {"name": PORT_NAME}}}
    spec: dict[str, Any] = {
        "rules": [
            {
                "host": route.host,
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
            }
        ]
    }
    if route.class_name is not None:
        spec = {"ingressClassName": route.class_name, **spec}
    if route.tls_secret is not None:
        spec["tls"] = [{"hosts": [route.host], "secretName": route.tls_secret}]
    head = metadata(name, "route")
    head["annotations"] = {**head["annotations"], **_nginx(service)}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": head,
        "spec": spec,
    }


def _nginx(service: Service) -> dict[str, str]:
    """Return the service's own limits for ingress-nginx, whose defaults are 1 MB and 60 s."""
    limits = service.limits
    seconds = math.ceil(max(limits.predict_seconds, limits.explain_seconds)) + 5
    return {
        "nginx.ingress.kubernetes.io/proxy-body-size": f"{math.ceil(limits.max_upload_mb)}m",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": str(seconds),
    }


def _http_route(name: str, metadata: Metadata, service: Service, route: Route) -> dict[str, Any]:
    parent = {"name": route.class_name}
    if route.gateway_namespace is not None:
        parent["namespace"] = route.gateway_namespace
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(name, "route"),
        "spec": {
            "parentRefs": [parent],
            "hostnames": [route.host],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "backendRefs": [{"name": name, "port": service.port}],
                }
            ],
        },
    }


def _gate(place: Kubernetes) -> list[dict[str, Any]]:
    """Return who passes requests on for a Gateway: its namespace, where nobody else named it."""
    serving, route = place.serving, place.serving.route
    is_kuberays = serving.upgrade == "incremental"
    if not is_kuberays and (route is None or route.kind != "gateway"):
        return []
    namespace = None if route is None else route.gateway_namespace
    if namespace is None:
        return [{"podSelector": {}}] if serving.allow_from else []
    return [] if namespace in serving.allow_from else [_namespace(namespace)]


def _namespace(label: str) -> dict[str, Any]:
    # The label that Kubernetes itself gives each namespace.
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": label}}}


def _ports(*ports: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": port} for port in ports]
