"""A job as the objects that are applied for it, and nothing else: no cluster is asked."""

from __future__ import annotations

from typing import Any

from kdray.errors import LaunchError
from kdray.launch.kube.configmap import spec_map
from kdray.launch.kube.rayjob import ray_job
from kdray.launch.place import Order
from kdray.spec import Experiment, Service, Suite
from kdray.spec.target import Kubernetes, Target


def manifests(
    order: Order, job: Experiment | Suite | Service, target: Target
) -> list[dict[str, Any]]:
    """Return the objects of a job, in the order in which they are applied.

    The same order and target give the same objects. Where the target names no namespace, neither
    do they: it is the context's.

    Args:
        order: The job as it is sent.
        job: The same, read.
        target: A target of Kubernetes.

    Raises:
        LaunchError: The target is none of Kubernetes, or Kubernetes cannot take the job.
    """
    place = target.place
    if not isinstance(place, Kubernetes):
        raise LaunchError(
            f"target {target.name}",
            f"is of the kind {place.kind}: there is nothing to render for it.",
            "Give a target of the kind kubernetes.",
        )
    if isinstance(job, Service):
        from kdray.launch.kube.rayservice import service_manifests

        return service_manifests(order, job, place)
    return [spec_map(order, place), ray_job(order, job, place)]
