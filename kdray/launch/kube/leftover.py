"""What a service had before it was changed and has no more, such as a route."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kdray.errors import LaunchError
from kdray.launch.kube.client import Api, UnknownKind

#: Kinds that a service has or has not, all under its own name.
_KINDS = ("Ingress", "HTTPRoute", "PodDisruptionBudget")


def delete_leftovers(api: Api, service: str, kept: Iterable[Mapping[str, Any]]) -> list[str]:
    """Delete what kdray has applied for a service and does no longer; return what was done.

    They are asked for one by one: who may apply them may read them, but need not list them.

    Args:
        api: The API server.
        service: Id of the service.
        kept: What belongs to it now.

    Returns:
        A sentence for each that was deleted, or of which it could not be seen whether it is there.

    Raises:
        LaunchError: Something may not be deleted.
    """
    has = {each["kind"] for each in kept}
    said = []
    for kind in _KINDS:
        if kind in has:
            continue
        try:
            is_left = _is_ours(api.get(kind, service))
        except UnknownKind:
            continue  # none was ever applied
        except LaunchError as error:
            said.append(f"Whether {kind} {service} is left from before is not known: {error}")
            continue
        if is_left and api.delete(kind, service):
            said.append(f"Deleted {kind} {service}, which it has no more.")
    return said


def _is_ours(found: Mapping[str, Any] | None) -> bool:
    labels = ((found or {}).get("metadata") or {}).get("labels") or {}
    return labels.get("app.kubernetes.io/managed-by") == "kdray"
