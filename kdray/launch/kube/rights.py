"""Whether the user may do in a namespace what kdray does there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kdray.errors import LaunchError
from kdray.launch.finding import Check
from kdray.launch.kube.client import Api
from kdray.spec.target import Kubernetes

#: API group and resource -> verbs.
Needed = dict[tuple[str, str], tuple[str, ...]]

#: What jobs take: API group, resource -> verbs.
FOR_JOBS: Needed = {
    ("ray.io", "rayjobs"): ("get", "list", "create", "patch", "delete"),
    ("", "configmaps"): ("get", "create", "patch", "delete"),
}
#: What services take beside.
FOR_SERVICES: Needed = {
    ("ray.io", "rayservices"): ("get", "list", "create", "patch", "delete"),
    ("", "services"): ("get", "create", "patch", "delete"),
    ("networking.k8s.io", "networkpolicies"): ("get", "create", "patch", "delete"),
    # Listed to find what a changed service has no more.
    ("networking.k8s.io", "ingresses"): ("get", "list", "create", "patch", "delete"),
    ("policy", "poddisruptionbudgets"): ("get", "list", "create", "patch", "delete"),
}
_ROUTES: Needed = {
    ("gateway.networking.k8s.io", "httproutes"): ("get", "list", "create", "patch", "delete")
}
_QUEUES: Needed = {("kueue.x-k8s.io", "workloads"): ("list",)}
#: What reasons and logs are read from.
FOR_REASONS: Needed = {
    ("ray.io", "rayclusters"): ("get",),
    ("", "pods"): ("list",),
    ("", "pods/log"): ("get",),
    ("", "events"): ("list",),
}
_REMEDY = "Have a RoleBinding to the Role kdray-submit of cluster/base made for you."


def rights_checks(api: Api, place: Kubernetes) -> Iterator[Check]:
    """Yield whether jobs may be sent, services rolled out, and reasons and logs read."""
    jobs = _missing(api, FOR_JOBS)
    if jobs:
        yield Check("rights", "fail", f"you may not {'; '.join(jobs)}", _REMEDY)
    else:
        yield Check("rights", "ok", "you may submit, list and stop jobs")
    reasons = _missing(api, FOR_REASONS | (_QUEUES if place.queue else {}))
    if reasons:
        fact = f"you may not {'; '.join(reasons)}: logs and reasons of failures are not told"
        yield Check("rights", "warn", fact, _REMEDY)
    route = place.serving.route
    is_gateway = route is not None and route.kind == "gateway"
    services = _missing(api, FOR_SERVICES | (_ROUTES if is_gateway else {}))
    if services:
        yield Check("rights", "note", f"no services: you may not {'; '.join(services)}")


def _missing(api: Api, needed: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    """Return what is not allowed, a phrase for each resource."""
    found = []
    for (group, resource), verbs in needed.items():
        refused = [verb for verb in verbs if not _may(api, verb, group, resource)]
        if refused:
            what = f"{resource}.{group}" if group else resource
            found.append(f"{', '.join(refused)} {what}")
    return found


def _may(api: Api, verb: str, group: str, resource: str) -> bool:
    name, _, part = resource.partition("/")
    attributes = {"namespace": api.namespace, "verb": verb, "group": group, "resource": name}
    attributes |= {"subresource": part} if part else {}
    review = api.create(
        "SelfSubjectAccessReview",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        },
    )
    status = review.get("status") or {}
    if "allowed" not in status:
        raise LaunchError(api.where, "the API server does not say what you may do.")
    return bool(status["allowed"])
