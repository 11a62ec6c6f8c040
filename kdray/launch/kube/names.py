"""Names of a job's objects: the same for the same job, within KubeRay's limits."""

from __future__ import annotations

import re

from kdray.errors import LaunchError
from kdray.launch.kube.labels import spec_sha256
from kdray.launch.place import Order

#: Longest name of a RayJob or RayService: KubeRay adds to it.
LONGEST = 47
_DNS_1035 = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
#: Letters of the content's hash in the name of a ConfigMap: with an id it still fits a label.
_HASH = 15


def object_name(order: Order) -> str:
    """Return the name of a job's RayJob or RayService: its id.

    Raises:
        LaunchError: KubeRay would refuse it.
    """
    if len(order.id) > LONGEST or not _DNS_1035.fullmatch(order.id):
        raise LaunchError(
            order.file,
            f"the id {order.id!r} is no name for KubeRay: it takes at most {LONGEST} of a-z, 0-9 "
            "and -, the first a letter, the last not -.",
            "Give the job another name.",
        )
    return order.id


def spec_name(order: Order) -> str:
    """Return the name of the ConfigMap with a job's file: of each try and each file its own."""
    return f"{order.id}-{spec_sha256(order)[:_HASH]}"
