"""The log of a job's driver on Kubernetes, followed through lost connections and new tries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from kdray.launch.kube.client import Api, Object
from kdray.launch.kube.podtrouble import role

#: Seconds between looks whether a followed job has more to say.
PAUSE_S = 2.0
#: The container that submits the job and prints what its driver prints, in the head's pod.
SIDECAR = "ray-job-submitter"

_STAMPED = re.compile(rb"(\S+T\S+) (.*\n?)", re.DOTALL)


def read_log(
    api: Api,
    pods: Callable[[], Sequence[Object]],
    over: Callable[[], bool],
    *,
    follow: bool,
    pause: Callable[[float], None],
) -> Iterator[str]:
    """Yield what a driver has printed, line by line.

    Every line comes with the time at which it was printed, by which a log that broke off is taken
    up again without loss or repetition.

    Args:
        api: The API server.
        pods: Returns the job's pods as they are now.
        over: Returns whether the job is over.
        follow: Wait for more until it is.
        pause: Waits, seconds.

    Raises:
        LaunchError: The log cannot be read.
    """
    last: dict[tuple[str, str], bytes] = {}
    while True:
        ended = over()  # asked before reading: what is printed until then is read below
        for pod, container in _sources(pods()):
            known = last.get((pod, container), b"")
            for stamp, line in _lines(api, pod, container, known, follow and not ended):
                if not line.endswith(b"\n") and follow and not ended:
                    break  # cut off: the rest comes with the next answer
                last[pod, container] = stamp
                yield line.decode(errors="replace")
        if ended or not follow:
            return
        pause(PAUSE_S)


def _sources(pods: Sequence[Object]) -> list[tuple[str, str]]:
    """Return the pods and containers that print what drivers print, oldest first, once begun."""
    submitters = [pod for pod in pods if role(pod) == "submitter"]
    heads = [] if submitters else [pod for pod in pods if role(pod) == "head"]
    found = []
    for pod in sorted(submitters or heads, key=_begun):
        statuses = (pod.get("status") or {}).get("containerStatuses") or ()
        begun = {
            str(status["name"])
            for status in statuses
            if set(status.get("state") or {}) & {"running", "terminated"}
        }
        names = [str(container["name"]) for container in pod["spec"]["containers"]]
        name = SIDECAR if SIDECAR in names else names[0]
        if name in begun:
            found.append((str(pod["metadata"]["name"]), name))
    return found


def _lines(
    api: Api, pod: str, container: str, after: bytes, follow: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the lines after a time, each with its own."""
    query = {"timestamps": "true", **({"follow": "true"} if follow else {})}
    seconds = re.fullmatch(rb"([^.]*?)(\.\d+)?(Z|[+-]\d\d:\d\d)", after)
    if seconds:
        query["sinceTime"] = (seconds[1] + seconds[3]).decode()
    rest = b""
    for piece in api.log(pod, container, query):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            found = _stamped(line + b"\n")
            if found and found[0] > after:
                yield found
    if rest and (found := _stamped(rest)) and found[0] > after:
        yield found


def _stamped(line: bytes) -> tuple[bytes, bytes] | None:
    found = _STAMPED.fullmatch(line)
    return (found[1], found[2]) if found else None


def _begun(pod: Object) -> str:
    return str(pod["metadata"].get("creationTimestamp") or "")
