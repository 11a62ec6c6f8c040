"""What Ray Serve is told of a service, and what that takes: configuration, keys, room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from kdray.errors import JobError
from kdray.launch.kube.network import PORT
from kdray.launch.kube.text import as_yaml
from kdray.launch.place import Order
from kdray.spec.service import Service
from kdray.spec.target import KEYS_FOLDER, Group, Kubernetes, SecretKey

#: Name of the application in Serve.
NAME = "kdray"
#: Deployments of the application, each with the service's ``autoscaling``: http and explain.
_DEPLOYMENTS = 2
#: Memory of a replica without its models, and of Ray in a pod, MiB.
_REPLICA_MIB, _RAY_MIB = 1024, 2048
_REMEDY = (
    "Make keys with `kdray keys add NAME --role predict`, put the file into a Secret (`kubectl "
    "create secret generic kdray-keys --from-file=keys.yaml`), write `auth: {file: keys.yaml}` "
    "into the job and `serving: {keys: {secret: kdray-keys, key: keys.yaml}}` into the target."
)
_SECRETLY = "Write `secret_environment: {{{variable}: {{secret: NAME, key: KEY}}}}` into it."


@dataclass(frozen=True)
class Keys:
    """How pods come by the API keys.

    Args:
        auth: The service's ``auth`` in the pods.
        environment: Variables of the pods, as Kubernetes lists them.
        volumes: Volumes of the pods.
        mounts: Where the containers see them.
    """

    auth: dict[str, str]
    environment: tuple[dict[str, Any], ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()
    mounts: tuple[dict[str, Any], ...] = ()


def serve_config(service: Service, keys: Keys) -> str:
    """Return Serve's configuration of a service, YAML.

    Args:
        service: The job, with a storage and a registry that all pods reach.
        keys: How pods come by its keys.
    """
    given = service.model_dump(mode="json", exclude_unset=True)
    config = {
        # A proxy in each pod that has a replica, so that no request takes another hop.
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": PORT},
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
        "applications": [
            {
                "name": NAME,
                "route_prefix": "/",
                "import_path": "kdray_serve.deployment:application",
                "args": {**given, "host": "0.0.0.0", "port": PORT, "auth": keys.auth},
            }
        ],
    }
    return as_yaml([config]).removeprefix("---\n")


def find_keys(order: Order, service: Service, place: Kubernetes) -> Keys:
    """Return how pods come by a service's keys: from a Secret, as a file or a variable.

    Raises:
        JobError: The service asks for no keys, or the target does not say where they are.
    """
    auth, secret = service.auth, place.serving.keys
    if auth is None or auth == "none":
        said = "has no auth, and nobody would see a key that is made in a pod"
        problem = f"{said}." if auth is None else "auth: none opens it to the whole cluster."
        raise JobError(_where(order), problem, _REMEDY)
    if auth.environment is not None:
        return _in_variable(order, auth.environment, secret, place)
    file = str(auth.file)
    if secret is None:
        return _on_volume(order, file, place)
    name = PurePosixPath(file).name
    items = [{"key": secret.key, "path": name}]
    return Keys(
        auth={"file": f"{KEYS_FOLDER}/{name}"},
        volumes=({"name": "keys", "secret": {"secretName": secret.secret, "items": items}},),
        # A folder, not a single file: only so a changed Secret is seen without a restart.
        mounts=({"name": "keys", "mountPath": KEYS_FOLDER, "readOnly": True},),
    )


def serving_groups(order: Order, service: Service, place: Kubernetes) -> Sequence[Group]:
    """Return the groups of worker pods: the target's, or one made for the service.

    A pod that is made for it has room for one replica of each deployment.

    Raises:
        JobError: The target's groups have no room for the replicas that always run.
    """
    scaling, cpus = service.autoscaling, service.cpus_per_replica
    if not place.groups:
        each = int(service.memory_mb) + _REPLICA_MIB
        made = Group(
            name="serve",
            cpus=math.ceil(_DEPLOYMENTS * cpus),
            memory=f"{_DEPLOYMENTS * each + _RAY_MIB}Mi",
            shm="1Gi",
            min=scaling.min_replicas,
            max=scaling.max_replicas,
        )
        return (made,)
    room = sum(group.max * int(group.cpus / cpus + 1e-9) for group in place.groups)
    needed = _DEPLOYMENTS * scaling.min_replicas
    if room < needed:
        raise JobError(
            _where(order),
            f"{needed} replicas of {cpus:g} CPUs have to run ({scaling.min_replicas} predict, "
            f"as many explain), and the target's groups have room for {room}.",
            "Raise `max` or `cpus` of a group, or lower `autoscaling.min_replicas`.",
        )
    return place.groups


def _in_variable(order: Order, variable: str, secret: SecretKey | None, place: Kubernetes) -> Keys:
    auth = {"environment": variable}
    if variable in place.secret_environment:
        return Keys(auth)  # all containers have it
    if variable in place.environment:
        problem = f"auth: the target has {variable} in `environment`, where all can read it."
        raise JobError(_where(order), problem, _SECRETLY.format(variable=variable))
    if secret is None:
        raise JobError(
            _where(order),
            f"auth: the target does not say which Secret {variable} comes from.",
            _SECRETLY.format(variable=variable),
        )
    source = {"secretKeyRef": {"name": secret.secret, "key": secret.key}}
    return Keys(auth, environment=({"name": variable, "valueFrom": source},))


def _on_volume(order: Order, file: str, place: Kubernetes) -> Keys:
    path = PurePosixPath(file)
    if not any(path.is_relative_to(volume.path) for volume in place.volumes):
        problem = f"auth: pods do not see {file}, and the target names no Secret with the keys."
        raise JobError(_where(order), problem, _REMEDY)
    return Keys({"file": file})


def _where(order: Order) -> str:
    return order.file or order.job
