"""Services and targets of the tests, by what is special about each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from kdray.launch.kube.render import manifests
from kdray.launch.order import make_order
from kdray.launch.place import Order
from kdray.spec import Service, Target, parse_job

KEYS = {"secret": "ward-keys", "key": "keys.yaml"}


def sent(folder: Path, place: dict[str, Any] | None = None, **fields: Any) -> tuple[Order, Target]:
    """Return a service as it is sent, and where to.

    Args:
        folder: Where the job file is written.
        place: Fields of the target's place beside its kind; by default the Secret with the keys.
        fields: Fields of the service beside its name, models and auth.
    """
    job = {"apiVersion": "kdray/v1", "kind": "Service", "name": "ward", "models": ["brain@3"]}
    file = folder / "service.yaml"
    file.write_text(yaml.safe_dump({**job, "auth": {"file": "keys.yaml"}, **fields}))
    place = {"serving": {"keys": KEYS}} if place is None else place
    target = Target.model_validate(
        {
            "apiVersion": "kdray/v1",
            "kind": "Target",
            "name": "lab",
            "storage": "s3://lab/kdray",
            "place": {"kind": "kubernetes", **place},
        }
    )
    return make_order(file, None, target), target


def rendered(
    folder: Path, place: dict[str, Any] | None = None, **fields: Any
) -> dict[str, dict[str, Any]]:
    """Return the manifests of a service by their kinds; see ``sent``."""
    order, target = sent(folder, place, **fields)
    service = parse_job(order.spec, order.file)
    assert isinstance(service, Service)
    objects = manifests(order, service, target)
    kinds = {item["kind"]: item for item in objects}
    assert len(kinds) == len(objects)
    return kinds


def serve_config(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what Serve is told, read from the RayService."""
    config: dict[str, Any] = yaml.safe_load(objects["RayService"]["spec"]["serveConfigV2"])
    return config


def worker_pod(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the template of the pods of the first group of workers."""
    cluster = objects["RayService"]["spec"]["rayClusterConfig"]
    pod: dict[str, Any] = cluster["workerGroupSpecs"][0]["template"]
    return pod
