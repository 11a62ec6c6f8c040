"""Objects of a Kubernetes cluster, as its API server shows them."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

#: The time of the tests, and of the objects' making, Unix seconds.
NOW = 1_767_225_600.0
MADE = "2026-01-01T00:00:00Z"


def ray_job(name: str = "tiny-1", *, spec: Object | None = None, **status: Any) -> Object:
    """Return a RayJob with the labels that kdray gives it."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {
            "name": name,
            "namespace": "lab",
            "uid": f"uid-{name}",
            "creationTimestamp": MADE,
            "labels": {
                "app.kubernetes.io/managed-by": "kdray",
                "app.kubernetes.io/part-of": "kdray",
                "app.kubernetes.io/instance": name,
            },
            "annotations": {"kdray/job": "tiny", "kdray/storage": "s3://b/runs"},
        },
        "spec": {"backoffLimit": 2, **(spec or {})},
        **({"status": status} if status else {}),
    }


def pod(
    name: str = "tiny-1-head",
    *,
    kind: str = "head",
    group: str = "",
    job: str = "tiny-1",
    cluster: str = "tiny-1-abc",
    spec: Object | None = None,
    **status: Any,
) -> Object:
    """Return a pod of a job: of the head, of a worker, or of what submits it."""
    labels = {"app.kubernetes.io/instance": job}
    if kind != "submitter":
        labels |= {"ray.io/node-type": kind, "ray.io/cluster": cluster}
    if group:
        labels["ray.io/group"] = group
    container = "ray-job-submitter" if kind == "submitter" else f"ray-{kind}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "lab",
            "creationTimestamp": MADE,
            "labels": labels,
        },
        "spec": {
            "containers": [
                {
                    "name": container,
                    "image": "reg.example.org/kdray:1",
                    "resources": {
                        "requests": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"},
                        "limits": {"memory": "4Gi"},
                    },
                }
            ],
            **(spec or {}),
        },
        "status": {"phase": "Pending", **status},
    }


def unscheduled(message: str, **how: Any) -> Object:
    """Return a pod for which no node is found."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    return pod(conditions=[{**condition, "message": message}], **how)


def in_state(state: Object, last: Object | None = None, **how: Any) -> Object:
    """Return a pod whose container is in a state."""
    name = {"submitter": "ray-job-submitter"}.get(how.get("kind", ""), "ray-head")
    status = {"name": name, "image": "reg.example.org/kdray:1", "state": state}
    return pod(containerStatuses=[{**status, "lastState": last or {}}], **how)


def event(name: str, reason: str, message: str, kind: str = "Warning") -> Object:
    """Return an event of an object."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{reason}", "namespace": "lab"},
        "involvedObject": {"name": name},
        "reason": reason,
        "message": message,
        "type": kind,
        "lastTimestamp": MADE,
    }
