"""A Service as a KubeRay RayService, with what protects and publishes it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from kdray.launch.kube.cluster import ray_cluster
from kdray.launch.kube.labels import ELASTIC, QUEUE, metadata, spec_sha256
from kdray.launch.kube.names import object_name
from kdray.launch.kube.network import (
    METRICS_PORT,
    PORT,
    PORT_NAME,
    Metadata,
    disruption_budget,
    metrics_service,
    network_policy,
    routes,
    serve_service,
)
from kdray.launch.kube.pods import Extra, probe
from kdray.launch.kube.serving import Keys, find_keys, serve_config, serving_groups
from kdray.launch.place import Order
from kdray.served import cluster as served
from kdray.spec.service import Service
from kdray.spec.target import COUNTS_FOLDER, FaultTolerance, Kubernetes

#: How long a pod that is taken away still answers, until nobody sends it requests, seconds.
_LEAVING_S = 15
#: Least time for which the cluster before an upgrade stays, seconds.
_STAYING_S = 60
_UPGRADES = {
    "new_cluster": "NewCluster",
    "incremental": "NewClusterWithIncrementalUpgrade",
    "none": "None",
}


def service_manifests(order: Order, service: Service, place: Kubernetes) -> list[dict[str, Any]]:
    """Return all that a service takes, in the order in which it is applied.

    Args:
        order: The job; its id is the service's name, and stays when the service is changed.
        service: The same, with a storage and a registry that all pods reach.
        place: The target.

    Raises:
        JobError: Its keys are nowhere, or it has no room.
        LaunchError: KubeRay would refuse its name.
    """
    name = object_name(order)
    made: Metadata = partial(_metadata, order, place)
    pods = {"app.kubernetes.io/instance": order.id, "app.kubernetes.io/part-of": "kdray"}
    workers = {**pods, "app.kubernetes.io/component": "worker"}
    least = place.serving.min_available
    return [
        network_policy(name, made, pods, place),
        metrics_service(name, made, workers),
        _ray_service(order, service, place, made),
        *([disruption_budget(name, made, workers, least)] if least else []),
        *routes(name, made, service, place),
    ]


def _ray_service(
    order: Order, service: Service, place: Kubernetes, made: Metadata
) -> dict[str, Any]:
    name = object_name(order)
    keys = find_keys(order, service, place)
    head = made(name, "service")
    if place.queue:  # KubeRay passes both on to the cluster, which Kueue admits
        head["labels"][QUEUE] = place.queue
        head["annotations"] |= {ELASTIC: "true"} if place.autoscale else {}
    is_stepwise = place.serving.upgrade == "incremental"
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": head,
        "spec": {
            "upgradeStrategy": _upgrade(place),
            "rayClusterDeletionDelaySeconds": _staying(service),
            "excludeHeadPodFromServeSvc": True,  # it has no replicas
            # While load is moved step by step each cluster has a Service of its own.
            **({} if is_stepwise else {"serveService": serve_service(name, made, service)}),
            "serveConfigV2": serve_config(service, keys),
            "rayClusterConfig": _cluster(order, service, place, keys),
        },
    }


def _metadata(order: Order, place: Kubernetes, name: str, component: str) -> dict[str, Any]:
    return metadata(name, order, place, component)


def _upgrade(place: Kubernetes) -> dict[str, Any]:
    serving = place.serving
    strategy: dict[str, Any] = {"type": _UPGRADES[serving.upgrade]}
    if serving.upgrade == "incremental":
        strategy["clusterUpgradeOptions"] = {
            "gatewayClassName": serving.gateway_class,
            "stepSizePercent": serving.step_percent,
            "intervalSeconds": serving.interval_seconds,
            "maxSurgePercent": 100,
        }
    return strategy


def _staying(service: Service) -> int:
    """Return how long the old cluster stays for what it is answering, seconds."""
    limits = service.limits
    longest = math.ceil(max(limits.predict_seconds, limits.explain_seconds))
    return max(_STAYING_S, longest + _LEAVING_S)


def _cluster(order: Order, service: Service, place: Kubernetes, keys: Keys) -> dict[str, Any]:
    """Return the spec of the RayCluster that serves."""
    groups = serving_groups(order, service, place)
    head = Extra(ports=((PORT_NAME, PORT),))
    spec = ray_cluster(order, place, groups, head, _worker(keys))
    for group in spec["workerGroupSpecs"]:
        _adapt(group["template"], order)
    if place.serving.upgrade != "none":
        # KubeRay makes a new cluster where this spec differs, so that a changed service, too, is
        # ready before it takes over: on one cluster Serve stops the old replicas first.
        head_pod = spec["headGroupSpec"]["template"]["metadata"]
        head_pod["annotations"] = {"kdray/spec-sha256": spec_sha256(order)}
    if place.fault_tolerance is not None:
        spec["gcsFaultToleranceOptions"] = _fault_tolerance(place.fault_tolerance)
    return spec


def _worker(keys: Keys) -> Extra:
    """Return what the pods that answer have beside the common."""
    own = {
        # The container's own standard error, so that cluster's logs hold those of the replicas.
        served.LOG_PIPE: "/proc/1/fd/2",
        served.METRICS_FOLDER: COUNTS_FOLDER,
        served.METRICS_PORT: str(METRICS_PORT),
    }
    counts = {"name": "counts", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}
    return Extra(
        ports=((PORT_NAME, PORT), ("kdray-metrics", METRICS_PORT)),
        environment=(*({"name": word, "value": own[word]} for word in own), *keys.environment),
        volumes=(counts, *keys.volumes),
        mounts=({"name": "counts", "mountPath": COUNTS_FOLDER}, *keys.mounts),
        # Serve's proxy, which is in pods with a replica only: the others get no requests.
        readiness=probe("/-/healthz", PORT, False, after=10, failures=3),
    )


def _adapt(pod: dict[str, Any], order: Order) -> None:
    """Have worker pods found by Prometheus, end without cutting answers off, and lie apart."""
    pod["metadata"]["annotations"] = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(METRICS_PORT),
        "prometheus.io/path": "/metrics",
    }
    leave = f"sleep {_LEAVING_S}; ray stop"
    container = pod["spec"]["containers"][0]
    container["lifecycle"] = {"preStop": {"exec": {"command": ["bash", "-c", leave]}}}
    labels = {
        "app.kubernetes.io/instance": order.id,
        "app.kubernetes.io/component": "worker",
    }
    pod["spec"]["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": labels},
        }
    ]


def _fault_tolerance(wanted: FaultTolerance) -> dict[str, Any]:
    options: dict[str, Any] = {"redisAddress": wanted.redis}
    if wanted.password is not None:
        source = {"name": wanted.password.secret, "key": wanted.password.key}
        options["redisPassword"] = {"valueFrom": {"secretKeyRef": source}}
    return options
