"""What ``kdray doctor`` finds out about a place: whether it can take jobs."""

from __future__ import annotations

from collections.abc import Iterator

from kdray.launch.finding import Check
from kdray.spec.target import Kubernetes, RayCluster, Target


def place_checks(target: Target) -> Iterator[Check]:
    """Yield what can be said of a target's place, each finding as soon as it is known.

    This machine is not looked at. Nothing is changed at the place.

    Args:
        target: The target.
    """
    place = target.place
    if isinstance(place, Kubernetes):
        from kdray.launch.kube.check import kubernetes_checks

        yield from kubernetes_checks(place)
    elif isinstance(place, RayCluster):
        from kdray.launch.ray_check import ray_checks

        yield from ray_checks(place)
