"""Asking a job's driver on Kubernetes to end, by Ray's Jobs API through the API server."""

from __future__ import annotations

import base64

from kdray.errors import LaunchError
from kdray.launch.kube.client import Api, Object

#: Port of Ray's Jobs API on the head.
PORT = 8265


def ask_driver(api: Api, job: Object) -> bool:
    """Ask the driver of a RayJob to stop, as ``ray job stop`` does; return whether it was told.

    It cannot be told where no driver runs, or where the user may not reach the cluster's services
    or its token: KubeRay's operator does it when the RayJob is deleted.

    Args:
        api: The API server.
        job: The RayJob.
    """
    status = job.get("status") or {}
    if status.get("jobStatus") != "RUNNING":
        return False
    try:
        cluster = api.get("RayCluster", str(status.get("rayClusterName")))
        head = ((cluster or {}).get("status") or {}).get("head") or {}
        if cluster is None or "serviceName" not in head:
            return False
        service = f"{api.path('Service')}/{head['serviceName']}:{PORT}/proxy"
        path = f"{service}/api/jobs/{status.get('jobId')}/stop"
        return api.ask("POST", path, headers=_token(api, cluster)).ok
    except LaunchError:
        return False


def _token(api: Api, cluster: Object) -> dict[str, str]:
    """Return the header with Ray's own token, which the API server lets through."""
    options = cluster["spec"].get("authOptions") or {}
    if options.get("mode") != "token":
        return {}
    name = str(options.get("secretName") or cluster["metadata"]["name"])
    secret = api.get("Secret", name)
    token = ((secret or {}).get("data") or {}).get("auth_token")
    if token is None:
        return {}
    return {"X-Ray-Authorization": f"Bearer {base64.b64decode(token).decode()}"}
