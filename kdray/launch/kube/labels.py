"""What every object of a job carries, so that it is found and traced."""

from __future__ import annotations

import hashlib
from typing import Any

from kdray.launch.place import Order
from kdray.spec.target import Kubernetes

#: Kueue's label: the LocalQueue that admits a job.
QUEUE = "kueue.x-k8s.io/queue-name"
#: Kueue's annotation: the job's size may change while it runs.
ELASTIC = "kueue.x-k8s.io/elastic-job"


def metadata(name: str, order: Order, place: Kubernetes, component: str) -> dict[str, Any]:
    """Return the metadata of an object that kdray applies.

    Args:
        name: Its name.
        order: The job it belongs to.
        place: Where it goes; without a namespace it is the context's.
        component: Its part in the job, such as ``job``, ``spec`` or ``service``.
    """
    return {
        "name": name,
        **({"namespace": place.namespace} if place.namespace else {}),
        "labels": {
            "app.kubernetes.io/name": "kdray",
            **pod_labels(order, component),
        },
        "annotations": traces(order),
    }


def pod_labels(order: Order, component: str) -> dict[str, str]:
    """Return the labels of a job's pods.

    ``app.kubernetes.io/name`` is left to KubeRay, whose services for the head select its value.
    """
    return {
        "app.kubernetes.io/instance": order.id,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "kdray",
        "app.kubernetes.io/managed-by": "kdray",
    }


def traces(order: Order) -> dict[str, str]:
    """Return what tells a job, where its results lie, and exactly what was sent."""
    return {
        "kdray/job": order.job,
        "kdray/id": order.id,
        "kdray/storage": order.storage,
        "kdray/spec-sha256": spec_sha256(order),
    }


def spec_sha256(order: Order) -> str:
    """Return the SHA-256 of the job file that is sent, in hexadecimal."""
    return hashlib.sha256(order.spec.encode()).hexdigest()
