"""Pods of a job: closed by default, and as large as Ray believes them to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kdray.launch.kube.labels import pod_labels
from kdray.launch.place import Order
from kdray.run.environment import SETTINGS
from kdray.served import cluster as served
from kdray.spec.quantity import amount, mebibytes
from kdray.spec.target import HOME, Kubernetes, Pods, Toleration

#: User and group of the image; see infra/Dockerfile.
USER = 1000
#: Ray's agent on each node answers here whether the node is well, without a token.
AGENT_PORT = 52365
#: How long a pod may take to end, seconds: a stopped driver writes down where it is.
GRACE_S = 60

_CLOSED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_SCRATCH = (("tmp", "/tmp"), ("home", HOME))


@dataclass(frozen=True)
class Extra:
    """What a pod has beside what all pods have.

    Args:
        ports: Container ports by name.
        environment: Further variables, as Kubernetes lists them.
        volumes: Further volumes.
        mounts: Where the container sees them.
        readiness: Probe of the container; None: whether Ray's node is well.
        leave: Command before the container is told to end; none: a worker leaves Ray.
    """

    ports: tuple[tuple[str, int], ...] = ()
    environment: tuple[dict[str, Any], ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()
    mounts: tuple[dict[str, Any], ...] = ()
    readiness: dict[str, Any] | None = None
    leave: tuple[str, ...] = ()


def ray_pod(
    pods: Pods, place: Kubernetes, order: Order, component: str, extra: Extra | None = None
) -> dict[str, Any]:
    """Return the template of a pod of Ray, whose command KubeRay fills in.

    Args:
        pods: What it asks for.
        place: The target.
        order: The job.
        component: ``head`` or ``worker``.
        extra: What else it has.
    """
    extra = extra or Extra()
    head = component == "head"
    container: dict[str, Any] = {
        "name": f"ray-{component}",
        "resources": resources(pods),
        "env": [*environment(place, order.kind), *extra.environment],
        "volumeMounts": [*mounts(place), *extra.mounts],
        "livenessProbe": probe("/api/healthz", AGENT_PORT, head, after=30, failures=120),
        "readinessProbe": extra.readiness
        or probe("/api/healthz", AGENT_PORT, head, after=10, failures=10),
    }
    if extra.ports:
        container["ports"] = [{"name": name, "containerPort": port} for name, port in extra.ports]
    leave = extra.leave or (() if head else ("ray", "stop"))
    if leave:
        container["lifecycle"] = {"preStop": {"exec": {"command": list(leave)}}}
    # Only Ray's autoscaler, in the head's pod, talks to Kubernetes.
    labels = pod_labels(order, component)
    return pod_template(
        pods, place, labels, container, extra.volumes, token=head and place.autoscale
    )


def pod_template(
    pods: Pods,
    place: Kubernetes,
    labels: dict[str, str],
    container: dict[str, Any],
    volumes: Sequence[dict[str, Any]] = (),
    *,
    token: bool = False,
) -> dict[str, Any]:
    """Return the template of a pod with one container.

    Args:
        pods: Where it may run, and its scratch space and shared memory.
        place: The target.
        labels: Its labels.
        container: The container without image and security context.
        volumes: Volumes beside those that all pods have.
        token: Whether it sees the token of its service account.
    """
    spec: dict[str, Any] = {
        "automountServiceAccountToken": token,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": container["name"],
                "image": place.image,
                "imagePullPolicy": place.pull_policy,
                "securityContext": closed(),
                # So that its end says why, when the log is gone.
                "terminationMessagePolicy": "FallbackToLogsOnError",
                **container,
            }
        ],
        "volumes": [*_volumes(pods, place), *volumes],
        **_whereabouts(pods, place),
    }
    return {"metadata": {"labels": labels}, "spec": spec}


def closed() -> dict[str, Any]:
    """Return the security context of every container."""
    return {**_CLOSED, "capabilities": {"drop": ["ALL"]}}


def resources(pods: Pods) -> dict[str, dict[str, str]]:
    """Return what a pod's container requests, which is the most it gets, too."""
    wanted = {"cpu": str(pods.cpus), "memory": pods.memory}
    if pods.gpus:
        wanted[pods.gpu_resource] = str(pods.gpus)
    return {"requests": wanted, "limits": dict(wanted)}


def ray_resources(pods: Pods, works: bool = True) -> dict[str, str]:
    """Return a pod's resources as Ray counts them.

    Args:
        pods: The pod.
        works: Whether Ray gives it tasks; a head that does not has no CPUs for them.
    """
    gpus = {"GPU": str(pods.gpus)} if pods.gpus and works else {"GPU": "0"} if pods.gpus else {}
    return {"CPU": str(pods.cpus) if works else "0", "memory": pods.memory, **gpus}


def ray_start(pods: Pods) -> dict[str, str]:
    """Return how Ray starts in a pod: with an object store that its shared memory holds."""
    return {"object-store-memory": str(int(shared_memory(pods) * 9 / 10))}


def shared_memory(pods: Pods) -> Decimal:
    """Return the shared memory of a pod in bytes; it counts as part of its memory."""
    return amount(pods.shm) if pods.shm else amount(pods.memory) * 3 / 10


def environment(place: Kubernetes, kind: str) -> list[dict[str, Any]]:
    """Return the variables of every container: settings, the target's own, and secrets by name.

    Args:
        place: The target.
        kind: Kind of the job.
    """
    plain = {**(served.SETTINGS if kind == "Service" else SETTINGS), "HOME": HOME}
    if place.auth == "none":
        plain["RAY_AUTH_MODE"] = "disabled"
    plain.update(place.environment)
    secret = {
        name: {"secretKeyRef": {"name": key.secret, "key": key.key}}
        for name, key in place.secret_environment.items()
    }
    return [
        *({"name": name, "value": plain[name]} for name in plain if name not in secret),
        *({"name": name, "valueFrom": source} for name, source in secret.items()),
    ]


def quiet(place: Kubernetes) -> list[dict[str, str]]:
    """Return the variables of a container that only talks to Ray: no settings, no secrets."""
    variables = {"HOME": HOME, "RAY_USAGE_STATS_ENABLED": "0"}
    if place.auth == "none":
        variables["RAY_AUTH_MODE"] = "disabled"
    return [{"name": name, "value": value} for name, value in variables.items()]


def mounts(place: Kubernetes) -> list[dict[str, Any]]:
    """Return what every container of Ray mounts: the only places it can write to, and claims."""
    return [
        *scratch_mounts(),
        {"name": "shm", "mountPath": "/dev/shm"},
        *(
            {"name": f"claim-{index}", "mountPath": volume.path, "readOnly": volume.read_only}
            for index, volume in enumerate(place.volumes)
        ),
    ]


def scratch_mounts() -> list[dict[str, Any]]:
    """Return where a container may write to the node's disk."""
    return [{"name": "scratch", "mountPath": path, "subPath": folder} for folder, path in _SCRATCH]


def probe(path: str, port: int, head: bool, *, after: int, failures: int) -> dict[str, Any]:
    """Return a probe by HTTP.

    KubeRay's own need ``wget`` or Python in the container for each look.

    Args:
        path: What is asked for.
        port: Where.
        head: Whether it is the head, which may be slow to answer.
        after: First look, seconds after the start.
        failures: Looks that may fail in a row.
    """
    return {
        "httpGet": {"path": path, "port": port},
        "initialDelaySeconds": after,
        "periodSeconds": 5,
        "timeoutSeconds": 5 if head else 2,
        "failureThreshold": failures,
    }


def _volumes(pods: Pods, place: Kubernetes) -> list[dict[str, Any]]:
    shm = mebibytes(shared_memory(pods))
    return [
        {"name": "scratch", "emptyDir": {"sizeLimit": pods.scratch}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": shm}},
        *(
            {
                "name": f"claim-{index}",
                "persistentVolumeClaim": {
                    "claimName": volume.claim,
                    "readOnly": volume.read_only,
                },
            }
            for index, volume in enumerate(place.volumes)
        ),
    ]


def _whereabouts(pods: Pods, place: Kubernetes) -> dict[str, Any]:
    """Return on which nodes a pod may run, and with which rights and rank."""
    selector = {**(place.spot_selector if pods.spot else {}), **pods.node_selector}
    taints = [*pods.tolerations, *(place.spot_tolerations if pods.spot else ())]
    found = {
        "nodeSelector": selector,
        "tolerations": [_toleration(taint) for taint in taints],
        "imagePullSecrets": [{"name": name} for name in place.pull_secrets],
        "serviceAccountName": place.service_account,
        "priorityClassName": place.priority_class,
    }
    return {name: value for name, value in found.items() if value}


def _toleration(taint: Toleration) -> dict[str, str]:
    found = {
        "key": taint.key,
        "operator": "Exists" if taint.value is None else "Equal",
        "value": taint.value,
        "effect": taint.effect,
    }
    return {name: value for name, value in found.items() if value is not None}
