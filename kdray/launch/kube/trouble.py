"""What state a job on Kubernetes is in, and why: pure, from the objects of the API server."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from kdray.launch.kube.labels import QUEUE
from kdray.launch.kube.podtrouble import Object, role, trouble, was_out_of_memory
from kdray.launch.kube.refusal import meaning
from kdray.launch.place import State
from kdray.run.memory import memory_used

#: Seconds after which KubeRay's operator should have taken up a job.
TAKEN_UP_S = 30.0

_STATES: dict[str, State] = {
    "Complete": "finished",
    "Failed": "failed",
    "ValidationFailed": "failed",
}
#: Exit codes of a process that was killed: by the shell's count, and by Python's.
_KILLED = (137, -9)


@dataclass(frozen=True)
class Facts:
    """What the API server knows of a job.

    Args:
        job: Its RayJob or RayService.
        now: The time, Unix seconds.
        clusters: The RayClusters of its current try, or of a service.
        pods: Of those clusters, and what submits the job.
        events: Of the job, its cluster and its pods.
        workload: Kueue's, where the job is queued; empty: it may not be read.
    """

    job: Object
    now: float
    clusters: tuple[Object, ...] = ()
    pods: tuple[Object, ...] = ()
    events: tuple[Object, ...] = ()
    workload: Object | None = None


def state(job: Object) -> State:
    """Return the state of a RayJob."""
    status = job.get("status") or {}
    deployment = str(status.get("jobDeploymentStatus") or "")
    ray = str(status.get("jobStatus") or "")
    if deployment == "Complete" and ray != "SUCCEEDED":
        return "failed" if ray == "FAILED" else "stopped"
    if deployment in _STATES:
        return _STATES[deployment]
    if "deletionTimestamp" in job["metadata"]:
        return "stopped"
    # Ray may have ended the driver already where the operator still waits for the submitter.
    begun = ray not in ("", "PENDING")
    return "running" if deployment == "Running" and begun else "pending"


def exit_code(job: Object) -> int | None:
    """Return the driver's exit code, or None where it is not over or did not say."""
    ended = state(job)
    if ended in ("finished", "stopped"):
        return {"finished": 0, "stopped": 130}[ended]
    found = _exit_code(job)
    return found if ended == "failed" else None


def reason(facts: Facts) -> str:
    """Return why a job waits, is hindered or failed, as a sentence; else an empty text."""
    now = state(facts.job)
    if now == "failed":
        return _failure(facts)
    if now == "pending":
        return _joined(_earlier(facts), _waiting(facts))
    if now == "running":
        return _joined(_earlier(facts), pods_trouble(facts))
    return ""


def since(moment: object) -> float | None:
    """Return a time of the API server as Unix seconds; None for none."""
    if not moment:
        return None
    return datetime.fromisoformat(str(moment).replace("Z", "+00:00")).timestamp()


def _failure(facts: Facts) -> str:
    status = facts.job.get("status") or {}
    kind, message = str(status.get("reason") or ""), str(status.get("message") or "")
    spec = facts.job.get("spec") or {}
    tries = int(status.get("failed") or 0)
    after = f" It was tried {tries} times." if tries > 1 else ""
    if kind == "DeadlineExceeded":
        allowed = spec.get("activeDeadlineSeconds")
        return f"It took longer than the target's deadline_seconds, {allowed}.{after}"
    if kind == "PreRunningDeadlineExceeded":
        allowed = spec.get("preRunningDeadlineSeconds")
        return _joined(f"It did not begin within {allowed} s.", pods_trouble(facts)) + after
    if kind == "ValidationFailed":
        return f"KubeRay's operator refuses the job: {_one_line(message)}."
    code = _exit_code(facts.job)
    if code is not None:
        return f"{_driver(code, message, facts)}{after}"
    said = _head_lost(facts) or _of_memory(message) or pods_trouble(facts)
    if said:
        return f"{said}{after}"
    return (
        f"{_KINDS.get(kind, 'It failed')}: {_one_line(message) or 'nothing more is known'}.{after}"
    )


_KINDS = {
    "SubmissionFailed": "It could not be handed to Ray",
    "AppFailed": "It failed",
    "JobDeploymentStatusTransitionGracePeriodExceeded": "Ray no longer says how it ended",
    "JobStatusCheckTimeoutExceeded": "Ray's head does not answer",
}


def _driver(code: int, message: str, facts: Facts) -> str:
    """Return why a driver ended with an exit code, from the end of its log."""
    if code in _KILLED:
        out = any(was_out_of_memory(pod) for pod in facts.pods) or _is_oom(facts)
        why = "it used more than its memory" if out else "most likely for lack of memory"
        return f"The driver was killed, {why}: ask for more memory for the target's head."
    lines = [line.strip() for line in message.partition("):\n")[2].splitlines() if line.strip()]
    errors = [line.removeprefix("error ") for line in lines if line.startswith("error ")]
    said = "; ".join(errors[-3:]) or (lines[-1] if lines else "it printed nothing")
    if code == 2:
        return f"The job file is refused: {said}"
    return f"The driver failed with exit code {code}: {said}"


def _head_lost(facts: Facts) -> str:
    if _is_oom(facts):
        return (
            "The head was killed because it used more than its memory: ask for more memory for "
            "the target's head."
        )
    message = str((facts.job.get("status") or {}).get("message") or "")
    lost = "head pod not found" in message or "Ray job not found in RayCluster" in message
    return "The head was lost while the job ran." if lost else ""


def _of_memory(message: str) -> str:
    """Return why Ray killed the driver before the node did, where it was for memory."""
    used = memory_used(message)
    if used is None:
        return ""
    return f"The head ran out of memory{used}: ask for more memory for the target's head."


def _is_oom(facts: Facts) -> bool:
    """Return whether the head was killed for its memory; KubeRay replaces such pods."""
    killed = any(
        event.get("reason") == "DeletedHeadPod" and "OOMKilled" in str(event.get("message"))
        for event in facts.events
    )
    return killed or any(
        was_out_of_memory(pod) for pod in facts.pods if role(pod) in ("head", "submitter")
    )


def _earlier(facts: Facts) -> str:
    """Return which try this is, where earlier ones failed."""
    failed = int((facts.job.get("status") or {}).get("failed") or 0)
    if not failed:
        return ""
    tries = int((facts.job.get("spec") or {}).get("backoffLimit") or 0) + 1
    lost = " because its head ran out of memory" if _is_oom(facts) else ""
    earlier = "the one before" if failed == 1 else f"the {failed} before"
    return f"This is try {min(failed + 1, tries)} of {tries}: {earlier} failed{lost}."


def _waiting(facts: Facts) -> str:
    job = facts.job
    deployment = str((job.get("status") or {}).get("jobDeploymentStatus") or "")
    if (job.get("spec") or {}).get("suspend") or deployment in ("Suspending", "Suspended"):
        return _suspended(facts)
    created = since(job["metadata"].get("creationTimestamp"))
    if not deployment and created is not None and facts.now - created > TAKEN_UP_S:
        return (
            "KubeRay's operator has not taken it up: is the operator running, and does it watch "
            "this namespace? `kdray doctor --to` looks."
        )
    return pods_trouble(facts) or _head_lost(facts) or events_trouble(facts)


def _suspended(facts: Facts) -> str:
    queue = (facts.job["metadata"].get("labels") or {}).get(QUEUE)
    if queue is None:
        return "It is suspended: set spec.suspend of its RayJob to false to let it go on."
    conditions = ((facts.workload or {}).get("status") or {}).get("conditions") or ()
    for condition in conditions:
        kind, met = condition.get("type"), condition.get("status") == "True"
        if (kind in ("QuotaReserved", "Admitted") and not met) or (kind == "Evicted" and met):
            return f"It waits in queue {queue}: {_one_line(str(condition.get('message')))}."
    if facts.workload is None:
        return f"It waits in queue {queue}: Kueue has not taken it up. Is there such a queue?"
    return f"It waits in queue {queue}."


def pods_trouble(facts: Facts) -> str:
    """Return what keeps pods from running, the head's trouble first, alike pods counted."""
    order = {"head": 0, "submitter": 1}
    pods = sorted(facts.pods, key=lambda pod: order.get(role(pod), 2))
    count = Counter(role(pod) for pod in pods)
    found = Counter((role(pod), said) for pod in pods if (said := trouble(pod, facts.events)))
    sentences = [_pod(who, said, n, count[who]) for (who, said), n in found.items()]
    return " ".join(sentences[:2])


def _pod(who: str, said: str, number: int, total: int) -> str:
    if who in ("head", "submitter"):
        pod = {"head": "The head pod", "submitter": "The pod that submits the job"}[who]
        return f"{pod}: {said}."
    group = who.removeprefix("worker of ")
    many = f"{number} of {total} workers" if total > 1 else "The worker"
    return f"{many} of {group}: {said}."


def events_trouble(facts: Facts) -> str:
    """Return what controllers cannot make: pods over quota, refused by a webhook.

    A cluster's own condition is of now; events stay for an hour, and count while there is nothing.
    """
    for cluster in facts.clusters:
        for condition in (cluster.get("status") or {}).get("conditions") or ():
            if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
                message = str(condition.get("message") or "")
                return _unmade(message) or f"Its pods cannot be made: {_one_line(message)}."
    if facts.pods:
        return ""
    for event in sorted(facts.events, key=_when, reverse=True):
        message = str(event.get("message") or "")
        if event.get("type") == "Warning" and (said := _unmade(message)):
            return said
        if str(event.get("reason") or "").startswith(("FailedToCreate", "Invalid")):
            return f"{_one_line(message)}."
    return ""


def _unmade(message: str) -> str:
    known = meaning(message)
    return f"Its pods cannot be made: {known[0]}. {known[1]}" if known else ""


def _when(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _exit_code(job: Object) -> int | None:
    message = str((job.get("status") or {}).get("message") or "")
    found = re.search(r"failed with exit code (-?\d+)", message)
    return int(found[1]) if found else None


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _one_line(message: str) -> str:
    return " ".join(message.split()).rstrip(".")


def clusters(job: Object) -> tuple[str, ...]:
    """Return the names of the RayClusters that belong to a RayJob or RayService now."""
    status = job.get("status") or {}
    found = (
        status.get("rayClusterName"),
        (status.get("activeServiceStatus") or {}).get("rayClusterName"),
        (status.get("pendingServiceStatus") or {}).get("rayClusterName"),
    )
    return tuple(str(name) for name in found if name)


def names(facts: Facts) -> Iterator[str]:
    """Yield the names of the objects whose events tell of the job, its pods in trouble last."""
    yield str(facts.job["metadata"]["name"])
    yield from (str(cluster["metadata"]["name"]) for cluster in facts.clusters)
    waiting: Sequence[Object] = [
        pod for pod in facts.pods if (pod.get("status") or {}).get("phase") == "Pending"
    ]
    for pod in sorted(waiting, key=lambda pod: role(pod) != "head")[:4]:
        yield str(pod["metadata"]["name"])
