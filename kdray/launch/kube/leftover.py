"""What a service had before it was changed and has no more, such as a route."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kdray.errors import LaunchError
from kdray.launch.kube.client import Api

#: Kinds that a service has or has not.
_KINDS = ("Ingress", "HTTPRoute", "PodDisruptionBudget")


def delete_leftovers(api: Api, service: str, kept: Iterable[Mapping[str, Any]]) -> list[str]:
    """Delete what kdray has applied for a service and does no longer; return the deleted.

    Args:
        api: The API server.
        service: Id of the service.
        kept: What belongs to it now.

    Raises:
        LaunchError: Something may not be deleted.
    """
    names = {(each["kind"], each["metadata"]["name"]) for each in kept}
    labels = f"app.kubernetes.io/managed-by=kdray,app.kubernetes.io/instance={service}"
    deleted = []
    for kind in _KINDS:
        for found in _listed(api, kind, labels):
            name = found["metadata"]["name"]
            if (kind, name) not in names and api.delete(kind, name):
                deleted.append(f"{kind} {name}")
    return deleted


def _listed(api: Api, kind: str, labels: str) -> list[dict[str, Any]]:
    try:
        return api.list(kind, labels=labels)
    except LaunchError:
        # Not a kind of this cluster, or not one for this user, who cannot have applied it then.
        return []
