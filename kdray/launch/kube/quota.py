"""Whether a namespace's quotas leave room for a target's pods."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from kdray.launch.finding import Check
from kdray.launch.kube.client import Api
from kdray.spec.quantity import amount
from kdray.spec.target import Kubernetes, Pods


def quota_checks(api: Api, place: Kubernetes) -> Iterator[Check]:
    """Yield where the quotas leave less than the head and all workers of the groups ask for."""
    asked = _asked(place)
    for quota in api.list("ResourceQuota"):
        name = quota["metadata"]["name"]
        status = quota.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        short = [
            f"{resource} {_shown(asked[word])} of {_shown(left)} left"
            for resource in hard
            if (word := _word(resource)) in asked
            and (left := amount(hard[resource]) - amount(used.get(resource, "0"))) < asked[word]
        ]
        if short:
            fact = f"{name} has no room for all pods of the target: {'; '.join(short)}"
            remedy = "Ask for less in head and groups, or have the quota raised."
            yield Check("quota", "warn", fact, remedy)
        else:
            yield Check("quota", "ok", f"{name} has room for all pods of the target")


def _word(resource: str) -> str:
    return resource.removeprefix("requests.").removeprefix("limits.")


def _asked(place: Kubernetes) -> dict[str, Decimal]:
    total: dict[str, Decimal] = {"count/rayjobs.ray.io": Decimal(1), "pods": Decimal(1)}
    pods: list[tuple[Pods, int]] = [(place.head, 1)]
    pods += [(group, group.max) for group in place.groups]
    for each, number in pods:
        parts = {"cpu": str(each.cpus), "memory": each.memory, "pods": "1"}
        parts |= {each.gpu_resource: str(each.gpus)} if each.gpus else {}
        for resource, one in parts.items():
            total[resource] = total.get(resource, Decimal(0)) + number * amount(one)
    return total


def _shown(number: Decimal) -> str:
    gibibytes = number / 2**30
    return f"{gibibytes:.1f}Gi" if gibibytes >= 1 else f"{number.normalize():f}"
