"""What state a service on Kubernetes is in, and why: pure, from its RayService."""

from __future__ import annotations

from collections.abc import Iterator

from kdray.launch.kube.podtrouble import Object
from kdray.launch.kube.trouble import TAKEN_UP_S, Facts, events_trouble, pods_trouble, since
from kdray.launch.place import State

#: States of a Serve application in which it has to be mended.
_BAD = ("DEPLOY_FAILED", "UNHEALTHY", "NOT_STARTED")


def service_state(service: Object) -> State:
    """Return the state of a RayService: ``running`` where it answers, else ``pending``."""
    if "deletionTimestamp" in service["metadata"]:
        return "stopped"
    ready = _condition(service, "Ready")
    if ready.get("reason") == "ValidationFailed":
        return "failed"
    return "running" if ready.get("status") == "True" else "pending"


def service_reason(facts: Facts) -> str:
    """Return why a service does not answer or is hindered, as a sentence; else an empty text."""
    now = service_state(facts.job)
    ready = _condition(facts.job, "Ready")
    message = str(ready.get("message") or "").rstrip(".")
    if now == "stopped":
        return ""
    if now == "failed":
        return f"KubeRay's operator refuses the service: {message}."
    said = pods_trouble(facts) or "; ".join(_applications(facts.job))
    if said or now == "running":
        return said
    created = since(facts.job["metadata"].get("creationTimestamp"))
    if not facts.job.get("status") and created is not None and facts.now - created > TAKEN_UP_S:
        return "KubeRay's operator has not taken it up: `kdray doctor --to` looks."
    return events_trouble(facts) or (f"{message}." if message else "")


def service_ready_since(service: Object) -> float | None:
    """Return when a service began to answer, Unix seconds; None: it does not."""
    ready = _condition(service, "Ready")
    return since(ready.get("lastTransitionTime")) if ready.get("status") == "True" else None


def _condition(service: Object, kind: str) -> Object:
    found = (service.get("status") or {}).get("conditions") or ()
    return next((condition for condition in found if condition.get("type") == kind), {})


def _applications(service: Object) -> Iterator[str]:
    status = service.get("status") or {}
    for part in ("pendingServiceStatus", "activeServiceStatus"):
        for name, facts in ((status.get(part) or {}).get("applicationStatuses") or {}).items():
            if facts.get("status") in _BAD:
                said = " ".join(str(facts.get("message") or "").split())[:500].rstrip(".")
                yield f"The application {name} is {facts['status']}: {said or 'no reason given'}."
