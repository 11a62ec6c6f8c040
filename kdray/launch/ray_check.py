"""Whether a Ray cluster can take kdray's jobs: its address, its versions, its libraries."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
import time
import uuid
from collections.abc import Iterator
from typing import Any

from kdray import __version__
from kdray.errors import LaunchError
from kdray.launch.finding import Check
from kdray.launch.ray import address_of, token_of
from kdray.spec.target import RayCluster

#: What has to be there to import, beside kdray itself.
NEEDED = ("torch", "torchvision", "timm", "pyarrow", "pydantic", "optuna", "safetensors", "typer")
#: Seconds that a look at a node may take.
WAIT_S = 120.0
_PAUSE_S = 0.5

_PROBE = """
import importlib.metadata as m, importlib.util as u, json, platform, ray
names = {names}
versions = [d.version for d in m.distributions(name="kdray")]
print(json.dumps(dict(python=platform.python_version(), ray=ray.__version__,
    kdray=versions[0] if versions else None,
    missing=[name for name in names if u.find_spec(name) is None])))
"""


def ray_checks(place: RayCluster) -> Iterator[Check]:
    """Yield what is found out about a cluster; a job of a line is run there and removed again.

    Args:
        place: The target's place.
    """
    from kdray.launch.ray_client import JobsClient, talking

    try:
        address = address_of(place)
        with talking(address):
            client = JobsClient(address, token_of(place))
            yield _ray(client.ray_version, place)
            found = _probed(client, place)
    except LaunchError as error:
        yield Check("cluster", "fail", f"{error.where} {error.problem}", error.remedy)
        return
    if found is None:
        fact = f"{address} takes jobs, and one of a line does not end within {WAIT_S:.0f} s"
        yield Check("driver", "fail", fact, "Is there a free CPU on the head? See its dashboard.")
    elif "python" not in found:
        fact = f"`{place.python}` cannot be run on the head: {found['said']}"
        yield Check("driver", "fail", fact, "Mend `python` in the target.")
    else:
        yield from _driver(found, place)


def _ray(theirs: str, place: RayCluster) -> Check:
    ours = importlib.metadata.version("ray")
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        return Check("cluster", "ok", f"{address_of(place)} answers: Ray {theirs}")
    fact = f"{address_of(place)} runs Ray {theirs}; this kdray is made for Ray {ours}"
    if place.ship:
        return Check("cluster", "fail", fact, "Use a cluster of that version, or ship: false.")
    return Check("cluster", "note", fact)


def _driver(found: dict[str, Any], place: RayCluster) -> Iterator[Check]:
    theirs, ours = found["python"], platform.python_version()
    wanted = importlib.metadata.metadata("kdray")["Requires-Python"]
    if tuple(map(int, theirs.split(".")[:2])) < tuple(map(int, wanted.strip(">=").split("."))):
        fact = f"Python {theirs} on the head; kdray needs {wanted}"
        yield Check("python", "fail", fact, "Mend `python` in the target, or the image.")
    elif theirs.split(".")[:2] != ours.split(".")[:2]:
        yield Check("python", "note", f"{theirs} on the head, {ours} here")
    else:
        yield Check("python", "ok", f"{theirs} on the head")
    if found["missing"]:
        fact = f"the head's Python has no {', '.join(found['missing'])}"
        yield Check("libraries", "fail", fact, "Install kdray's requirements.txt on all nodes.")
    else:
        yield Check("libraries", "ok", f"{len(NEEDED)} of those that kdray needs are on the head")
    yield _kdray(found["kdray"], place)


def _kdray(theirs: str | None, place: RayCluster) -> Check:
    if place.ship:
        return Check("kdray", "ok", f"{__version__} is sent with each job")
    if theirs is None:
        remedy = "Install it on all nodes, or set ship: true."
        return Check("kdray", "fail", "it is not installed on the head", remedy)
    if theirs != __version__:
        return Check("kdray", "warn", f"{theirs} on the head, {__version__} here")
    return Check("kdray", "ok", f"{theirs} on the head")


def _probed(client: Any, place: RayCluster) -> dict[str, Any] | None:
    """Return what Python on the head says of itself; None: it does not come to it."""
    id = f"kdray-doctor-{uuid.uuid4().hex[:8]}"
    code = _PROBE.format(names=NEEDED)
    client.submit_job(entrypoint=f"{place.python} -c {shlex.quote(code)}", submission_id=id)
    end = time.monotonic() + WAIT_S
    while not client.get_job_status(id).is_terminal():
        if time.monotonic() > end:
            client.stop_job(id)
            return None
        time.sleep(_PAUSE_S)
    lines = [line for line in client.get_job_logs(id).splitlines() if line.strip()]
    client.delete_job(id)
    try:
        found: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        return {"said": lines[-1] if lines else "it printed nothing"}
    return found
