"""The job file as a ConfigMap, and how a pod mounts it."""

from __future__ import annotations

from typing import Any

from kdray.errors import LaunchError
from kdray.launch.kube.labels import metadata
from kdray.launch.kube.names import spec_name
from kdray.launch.kube.pods import Extra
from kdray.launch.place import Order
from kdray.spec.target import JOB_FOLDER, Kubernetes

#: Name of the job file in its folder.
FILE = "job.yaml"
#: Where pods find the job file.
PATH = f"{JOB_FOLDER}/{FILE}"
#: Most that a ConfigMap holds, bytes, less something for its names.
_MOST = 2**20 - 2**12


def spec_map(order: Order, place: Kubernetes) -> dict[str, Any]:
    """Return the ConfigMap with a job's file; it never changes, its name says its content.

    Raises:
        LaunchError: The file is too large for a ConfigMap.
    """
    size = len(order.spec.encode())
    if size > _MOST:
        raise LaunchError(
            order.file,
            f"has {size:,} bytes; a ConfigMap of Kubernetes holds {_MOST:,}.",
            "Split the suite, or shorten its tables.",
        )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(spec_name(order), order, place, "spec"),
        "immutable": True,
        "data": {FILE: order.spec},
    }


def spec_mount(order: Order) -> Extra:
    """Return what lets a pod read the job's file."""
    return Extra(
        volumes=({"name": "job", "configMap": {"name": spec_name(order)}},),
        mounts=({"name": "job", "mountPath": JOB_FOLDER, "readOnly": True},),
    )
