"""What the API server knows of a job, gathered for ``trouble``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from kdray.errors import LaunchError
from kdray.launch.kube.client import Api, Object
from kdray.launch.kube.labels import QUEUE
from kdray.launch.kube.refusal import Forbidden
from kdray.launch.kube.trouble import Facts, clusters, names

T = TypeVar("T")


def gather(api: Api, job: Object, now: float) -> Facts:
    """Return the facts about a RayJob or RayService.

    What may not be read is left out: less is known then.

    Args:
        api: The API server.
        job: The object, as it was just read.
        now: The time, Unix seconds.
    """
    name = str(job["metadata"]["name"])
    own = clusters(job)
    found = [_allowed(partial(api.get, "RayCluster", each), None) for each in own]
    selector = f"app.kubernetes.io/instance={name}"
    pods = _allowed(partial(api.list, "Pod", labels=selector), list[Object]())
    mine = [
        pod
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get("ray.io/cluster", "") in ("", *own)
    ]
    facts = Facts(
        job, now, tuple(each for each in found if each), tuple(mine), workload=_workload(api, job)
    )
    events = [
        event
        for each in names(facts)
        for event in _allowed(
            partial(api.list, "Event", fields=f"involvedObject.name={each}"), list[Object]()
        )
    ]
    events = [event for event in events if not _is_of_namesake(event, job)]
    return Facts(job, now, facts.clusters, facts.pods, tuple(events), facts.workload)


def _is_of_namesake(event: Object, job: Object) -> bool:
    """Return whether an event tells of a deleted job of the same name: events stay for an hour."""
    of = event.get("involvedObject") or {}
    is_named = of.get("name") == job["metadata"]["name"]
    return is_named and of.get("uid") not in (None, job["metadata"].get("uid"))


def _workload(api: Api, job: Object) -> Object | None:
    """Return Kueue's Workload of a job that is queued, or None; empty: it may not be read."""
    metadata = job["metadata"]
    if QUEUE not in (metadata.get("labels") or {}):
        return None
    try:
        workloads = api.list("Workload")
    except Forbidden:
        return {}
    except LaunchError:
        return None
    for workload in workloads:
        owners = workload["metadata"].get("ownerReferences") or ()
        if any(owner.get("uid") == metadata.get("uid") for owner in owners):
            return workload
    return None


def _allowed(read: Callable[[], T], otherwise: T) -> T:
    try:
        return read()
    except LaunchError:
        return otherwise
