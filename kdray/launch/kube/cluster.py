"""The RayCluster inside a RayJob or a RayService: its head, its workers, its autoscaler."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kdray.launch.kube.pods import (
    Extra,
    closed,
    quiet,
    ray_pod,
    ray_resources,
    ray_start,
    scratch_mounts,
)
from kdray.launch.place import Order
from kdray.spec.target import Group, Kubernetes

#: Ports of the head, as KubeRay's services name them.
HEAD_PORTS = (("gcs-server", 6379), ("dashboard", 8265), ("metrics", 8080))


def ray_cluster(
    order: Order,
    place: Kubernetes,
    groups: Sequence[Group],
    head: Extra | None = None,
    worker: Extra | None = None,
) -> dict[str, Any]:
    """Return the spec of a RayCluster.

    Args:
        order: The job.
        place: The target.
        groups: Its groups of workers.
        head: What the head's pod has beside the common.
        worker: The same of the workers' pods.
    """
    return {
        "rayVersion": importlib.metadata.version("ray"),
        "authOptions": {"mode": "token" if place.auth == "token" else "disabled"},
        "enableInTreeAutoscaling": place.autoscale,
        **({"autoscalerOptions": _autoscaler(place)} if place.autoscale else {}),
        "headGroupSpec": _head(order, place, head or Extra()),
        "workerGroupSpecs": [_workers(order, place, group, worker) for group in groups],
    }


def _head(order: Order, place: Kubernetes, extra: Extra) -> dict[str, Any]:
    extra = replace(extra, ports=(*HEAD_PORTS, *extra.ports))
    return {
        "rayStartParams": {"dashboard-host": "0.0.0.0", **ray_start(place.head)},
        "resources": ray_resources(place.head, works=False),
        "template": ray_pod(place.head, place, order, "head", extra),
    }


def _workers(order: Order, place: Kubernetes, group: Group, extra: Extra | None) -> dict[str, Any]:
    least = group.min if place.autoscale else group.max
    return {
        "groupName": group.name,
        "replicas": least,
        "minReplicas": least,
        "maxReplicas": group.max,
        **({"idleTimeoutSeconds": place.idle_seconds} if place.autoscale else {}),
        "rayStartParams": ray_start(group),
        "resources": ray_resources(group),
        "template": ray_pod(group, place, order, "worker", extra),
    }


def _autoscaler(place: Kubernetes) -> dict[str, Any]:
    """Return the settings of Ray's autoscaler, a second container in the head's pod."""
    size = {"cpu": "500m", "memory": "1Gi"}
    return {
        "version": "v2",
        "upscalingMode": "Default",
        "idleTimeoutSeconds": place.idle_seconds,
        "imagePullPolicy": place.pull_policy,
        "resources": {"requests": size, "limits": dict(size)},
        "securityContext": closed(),
        "env": quiet(place),
        "volumeMounts": scratch_mounts(),
    }
