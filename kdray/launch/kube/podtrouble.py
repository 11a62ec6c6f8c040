"""Why a pod does not run, as a sentence a user can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kdray.launch.kube.refusal import meaning

Object = dict[str, Any]

#: Reasons for which a container waits for its image.
_PULL = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
#: Words of a failed pull -> what they mean; the first that is found.
_PULL_CAUSES = (
    (
        r"unauthorized|authentication|denied|\b40[13]\b|no basic auth",
        "the registry refuses it: name a Secret with its credentials in pull_secrets, or mend the "
        "image's name",
    ),
    (
        r"not found|manifest unknown|does not exist|\b404\b",
        "the registry has no such image: mend `image` in the target, or push it",
    ),
    (
        r"no such host|timeout|timed out|connection refused|unreachable|no route|EOF",
        "the nodes cannot reach its registry",
    ),
    (r"no space left", "the node's disk is full"),
    (r"no match for platform|exec format", "it is not built for the node's processor"),
)
#: Why a scheduler finds no node -> what to say of it and what to do.
_NODES = (
    (r"(?P<n>\d+) Insufficient (?P<what>[^\s,]+?)(?=,|\.?(\s|$))", "short"),
    (r"(?P<n>\d+) Too many pods", "full"),
    (r"(?P<n>\d+) node\(s\) didn't match Pod's node (affinity/)?selector", "selector"),
    (r"(?P<n>\d+) node\(s\) had (untolerated )?taint(\(s\)|s? \{(?P<what>[^}]*)\})", "taint"),
    (r"(?P<n>\d+) node\(s\) were unschedulable", "closed"),
    (r"(?P<n>\d+) node\(s\) had volume node affinity conflict", "volume"),
)


def trouble(pod: Object, events: Sequence[Object] = ()) -> str:
    """Return why a pod does not run as it should, or an empty text.

    Args:
        pod: The pod.
        events: Events of the namespace, the pod's among them.
    """
    name = str(pod["metadata"]["name"])
    own = [event for event in events if (event.get("involvedObject") or {}).get("name") == name]
    for said in (_lost(pod), _unscheduled(pod, own), _containers(pod), _unmounted(pod, own)):
        if said:
            return said
    return ""


def role(pod: Object) -> str:
    """Return what a pod is to its job: the head, a worker of a group, or what submits the job."""
    labels = pod["metadata"].get("labels") or {}
    kind = labels.get("ray.io/node-type")
    if kind == "worker":
        return f"worker of group {labels.get('ray.io/group', '?')}"
    return "head" if kind == "head" else "submitter"


def was_out_of_memory(pod: Object) -> bool:
    """Return whether a container of the pod was killed for its memory."""
    return any(
        (state.get("terminated") or {}).get("reason") == "OOMKilled"
        for status in _statuses(pod)
        for state in (status.get("state") or {}, status.get("lastState") or {})
    )


def out_of_memory(pod: Object) -> str:
    """Return the sentence on a pod whose container was killed for its memory."""
    limit = next(
        (
            limits["memory"]
            for container in pod["spec"].get("containers") or ()
            if "memory" in (limits := (container.get("resources") or {}).get("limits") or {})
        ),
        None,
    )
    of = f" of {limit}" if limit else ""
    return f"it was killed because it used more than its memory{of}: ask for more in the target"


def _lost(pod: Object) -> str:
    status = pod.get("status") or {}
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    if reason == "Evicted":
        cause = message.partition(". ")[0].rstrip(".")
        return f"its node threw it out: {cause[:1].lower()}{cause[1:]}; see scratch in the target"
    if reason in ("NodeLost", "NodeShutdown", "NodeAffinity", "Shutdown", "Terminated"):
        return f"its node is gone ({reason})"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return _DISRUPTIONS.get(
                str(condition.get("reason")), str(condition.get("message") or "it is taken away")
            )
    return ""


_DISRUPTIONS = {
    "PreemptionByScheduler": "a pod of higher priority takes its place",
    "DeletionByTaintManager": "its node is no longer ready",
    "EvictionByEvictionAPI": "its node is being emptied",
    "DeletionByPodGC": "its node is gone",
    "TerminationByKubelet": "its node is shutting down or short of something",
}


def _unscheduled(pod: Object, events: Sequence[Object]) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") != "PodScheduled" or condition.get("status") != "False":
            continue
        if condition.get("reason") == "SchedulingGated":
            return "it waits in a queue to be let in"
        said = _no_node(str(condition.get("message") or ""), pod)
        return f"{said}{_scaling(events)}"
    return ""


def _no_node(message: str, pod: Object) -> str:
    claim = re.search(r'persistentvolumeclaim "([^"]+)" (not found|is being deleted)', message)
    if claim:
        return (
            f"the PersistentVolumeClaim {claim[1]} is {_gone(claim[2])}: mend the target's volumes"
        )
    if "unbound immediate PersistentVolumeClaims" in message:
        return "a PersistentVolumeClaim of the target's volumes has no volume yet"
    total = re.match(r"0/(\d+) nodes are available: ", message)
    why = message.partition("preemption:")[0]
    parts = [said for said in _parts(why, pod) if said]
    if not parts:
        return f"no node takes it: {why.strip().rstrip('.') or 'the scheduler gives no reason'}"
    if total is None or total[1] == "1":
        return "the only node " + "; it ".join(part.removeprefix("1 ") for part in parts)
    return f"none of {total[1]} nodes can take it: {'; '.join(parts)}"


def _parts(why: str, pod: Object) -> Iterator[str]:
    for pattern, kind in _NODES:
        for found in re.finditer(pattern, why):
            yield _part(kind, found, pod)


def _part(kind: str, found: re.Match[str], pod: Object) -> str:
    number = int(found["n"])
    have = "has" if number == 1 else "have"
    if kind == "short":
        asked = _asked(pod, found["what"])
        return f"{number} {have} too little {found['what']} left{asked}"
    if kind == "taint":
        taint = (found["what"] or "").strip().rstrip(":").replace(": ", "=")
        which = f"the taint {taint}, which needs" if taint else "taints, which need"
        return f"{number} {have} {which} a toleration"
    if kind == "selector":
        selector = (pod.get("spec") or {}).get("nodeSelector") or {}
        labels = ", ".join(f"{key}={value}" for key, value in selector.items())
        lack = "lacks" if number == 1 else "lack"
        return f"{number} {lack} the labels of node_selector{f' ({labels})' if labels else ''}"
    words = {"full": "as many pods as allowed", "closed": "been closed to new pods"}
    return f"{number} {have} {words.get(kind, 'another place than the volume')}"


def _asked(pod: Object, resource: str) -> str:
    amounts = [
        amount
        for container in (pod.get("spec") or {}).get("containers") or ()
        if (amount := ((container.get("resources") or {}).get("requests") or {}).get(resource))
    ]
    return f" ({' + '.join(map(str, amounts))} asked for)" if amounts else ""


def _scaling(events: Sequence[Object]) -> str:
    reasons = {str(event.get("reason")) for event in events}
    if "TriggeredScaleUp" in reasons:
        return "; a node is being added"
    if "NotTriggerScaleUp" in reasons:
        return "; the cluster's autoscaler can add none"
    return ""


def _containers(pod: Object) -> str:
    for status in _statuses(pod):
        said = _waiting(status, pod) or _ended(status, pod)
        if said:
            return said
    return ""


def _waiting(status: Mapping[str, Any], pod: Object) -> str:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    image = str(status.get("image") or "")
    if reason in _PULL:
        cause = next((words for pattern, words in _PULL_CAUSES if re.search(pattern, message)), "")
        return f"the image {image} cannot be pulled: {cause or message.rstrip('.') or reason}"
    if reason == "InvalidImageName":
        return f"the image's name {image!r} is not one: mend `image` in the target"
    if reason == "ErrImageNeverPull":
        return f"the image {image} is not on the node, and pull_policy is Never"
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return _unmade(message or reason)
    if reason == "CrashLoopBackOff":
        return _ended(status, pod) or "its container ends again and again"
    return ""


def _unmade(message: str) -> str:
    missing = re.search(r'(secret|configmap) "([^"]+)" not found', message)
    if missing:
        kind = {"secret": "Secret", "configmap": "ConfigMap"}[missing[1]]
        return f"there is no {kind} {missing[2]}: make it, or mend the target"
    key = re.search(r"couldn't find key (\S+) in Secret (\S+)", message)
    if key:
        return f"the Secret {key[2].rpartition('/')[2]} has no key {key[1]}"
    if "runAsNonRoot" in message or "non-root" in message:
        return "the image runs as root, which is not allowed: build it by infra/Dockerfile"
    return f"its container cannot be started: {message.rstrip('.')}"


def _ended(status: Mapping[str, Any], pod: Object) -> str:
    for state in (status.get("state") or {}, status.get("lastState") or {}):
        ended = state.get("terminated") or {}
        if ended.get("reason") == "OOMKilled":
            return out_of_memory(pod)
        if ended and ended.get("exitCode") not in (0, None):
            said = str(ended.get("message") or "").strip().splitlines()
            last = f": {said[-1]}" if said else ""
            return f"container {status.get('name')} ended with exit code {ended['exitCode']}{last}"
    return ""


def _unmounted(pod: Object, events: Sequence[Object]) -> str:
    if (pod.get("status") or {}).get("phase") != "Pending":
        return ""
    for event in reversed(events):
        message = str(event.get("message") or "")
        if event.get("reason") in ("FailedMount", "FailedAttachVolume"):
            return _unmade(message)
        if event.get("type") == "Warning" and (known := meaning(message)):
            return f"{known[0]}: {known[1]}"
    return ""


def _statuses(pod: Object) -> list[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]


def _gone(word: str) -> str:
    return "missing" if word == "not found" else "being deleted"
