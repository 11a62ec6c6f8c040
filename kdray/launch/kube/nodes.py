"""Whether a cluster has nodes for a target's pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kdray.launch.finding import Check
from kdray.launch.kube.client import Api, Object
from kdray.launch.kube.pods import pod_template
from kdray.spec.quantity import amount
from kdray.spec.target import Group, Kubernetes, Pods


def node_checks(api: Api, place: Kubernetes) -> Iterator[Check]:
    """Yield for the head and each group whether the nodes that are there could hold such a pod.

    What runs on the nodes now is not counted, and a cluster may add nodes by itself.
    """
    nodes = [node for node in api.list("Node") if not node["spec"].get("unschedulable")]
    wanted: list[tuple[str, Pods]] = [("head", place.head)]
    wanted += [(f"group {group.name}", group) for group in place.groups]
    for name, pods in wanted:
        yield _check(name, pods, place, nodes)


def _check(name: str, pods: Pods, place: Kubernetes, nodes: Sequence[Object]) -> Check:
    spec = pod_template(pods, place, {}, {"name": "pod"})["spec"]
    reasons = [_unfit(node, pods, spec) for node in nodes]
    fit = reasons.count("")
    asked = f"{pods.cpus} CPUs, {pods.memory}" + (f", {pods.gpus} GPUs" if pods.gpus else "")
    if fit:
        wanted = pods.max if isinstance(pods, Group) else 1
        fact = f"{fit} of {len(nodes)} nodes can hold a pod of {name} ({asked}), at most {wanted}"
        return Check("nodes", "ok", fact)
    why = "; ".join(f"{reasons.count(each)} {each}" for each in dict.fromkeys(reasons))
    fact = f"none of {len(nodes)} nodes can hold a pod of {name} ({asked}): {why or 'no nodes'}"
    remedy = "Unless the cluster adds nodes by itself: mend the target, or add nodes."
    return Check("nodes", "warn", fact, remedy)


def _unfit(node: Object, pods: Pods, spec: Mapping[str, Any]) -> str:
    """Return why a node does not take a pod, with its verb; empty where it does."""
    labels = node["metadata"].get("labels") or {}
    selector = spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return "without the labels of node_selector"
    for taint in node["spec"].get("taints") or ():
        if taint["effect"] != "PreferNoSchedule" and not _tolerated(taint, spec):
            return f"with the taint {taint['key']}"
    has = (node.get("status") or {}).get("allocatable") or {}
    asked = {"cpu": str(pods.cpus), "memory": pods.memory}
    asked |= {pods.gpu_resource: str(pods.gpus)} if pods.gpus else {}
    for resource, wanted in asked.items():
        if amount(str(has.get(resource, "0"))) < amount(wanted):
            return f"with too little {resource}"
    return ""


def _tolerated(taint: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    for toleration in spec.get("tolerations") or ():
        is_key = toleration.get("key") in (None, taint["key"])
        is_effect = toleration.get("effect") in (None, taint["effect"])
        any_value = toleration.get("operator") == "Exists"
        is_value = any_value or toleration.get("value", "") == (taint.get("value") or "")
        if is_key and is_effect and is_value:
            return True
    return False
