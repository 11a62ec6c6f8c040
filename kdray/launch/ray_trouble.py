"""Why a job on a Ray cluster waits or failed, as a sentence its user can act on."""

from __future__ import annotations

import re
import signal
from typing import Any

from kdray.launch.place import State
from kdray.run.memory import memory_used

#: Exit codes of the driver.
REFUSED, STOPPED, NO_COMMAND = 2, 130, 127
#: Lines of the driver's own errors that a reason holds, at most.
LINES = 3
#: Most letters of what somebody else says.
LETTERS = 300

_STATES: dict[str, State] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "STOPPED": "stopped",
    "SUCCEEDED": "finished",
    "FAILED": "failed",
}


def state_of(details: Any) -> State:
    """Return the state of a job; a driver that says it was stopped has not failed.

    Args:
        details: Ray's ``JobDetails``.
    """
    if details.driver_exit_code == STOPPED:
        return "stopped"
    return _STATES[str(details.status)]


def reason_of(details: Any) -> str:
    """Return why a job waits or failed; empty where it does neither."""
    state = state_of(details)
    message = details.message or ""
    if state == "pending":
        return "Ray is setting up its environment, or waits for room on the head node."
    if state != "failed":
        return ""
    code = details.driver_exit_code
    if code is not None:
        return _of_exit(code, message)
    return _of_ray(details.error_type or "", message)


def _of_exit(code: int, message: str) -> str:
    """Return the reason of a driver that began."""
    number = -code if code < 0 else code - 128
    if number == signal.SIGKILL:
        return (
            "The driver was killed (SIGKILL), most likely because the head node ran out of "
            "memory. Submit it again to continue; give the head more memory."
        )
    if code == NO_COMMAND:
        return "The head node has no such Python: set `python` of the target to its command."
    if code < 0 or (number > 0 and number in set(signal.Signals)):
        return f"The driver was ended by {signal.Signals(number).name}. Submit it again."
    known = _known(message)
    if known:
        return known
    said = _said(message)
    if code == REFUSED:
        return f"The job file is refused there: {said}"
    return said


def _of_ray(kind: str, message: str) -> str:
    """Return the reason of a driver that Ray could not start, or lost."""
    short = _short(message)
    if kind == "RUNTIME_ENV_SETUP_FAILURE":
        return f"Ray could not set up the job's environment on the head node: {short}"
    if kind == "JOB_SUPERVISOR_ACTOR_START_TIMEOUT":
        return "Ray did not start the driver in time: see `ray status` for what the head lacks."
    if kind == "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE":
        return f"The driver's node is gone or has no room: {short} Submit it again to continue."
    used = memory_used(message)
    if used is not None:
        return (
            f"The driver was killed because its node ran out of memory{used}. Submit it again to "
            "continue; give the head node more memory."
        )
    if re.search(r"node (has )?(died|is dead|was terminated)|NODE_DIED", message):
        return "The driver's node was lost. Submit it again to continue."
    return f"Ray lost the driver: {short} Submit it again to continue."


def _known(message: str) -> str:
    """Return the reason of what a cluster lacks that kdray needs, or nothing."""
    if re.search(r"No module named '?kdray\b", message):
        return (
            "The head node has no kdray: set `ship: true` in the target, or install it on all "
            "nodes."
        )
    module = re.search(r"No module named '?([\w.]+)", message)
    if module:
        return (
            f"The nodes lack the Python package {module[1]}: install kdray's libraries on all "
            "of them."
        )
    if "Version mismatch" in message:
        return (
            "Python or Ray of the head node's command differs from the cluster's own: set "
            "`python` of the target to the one that Ray runs in."
        )
    return ""


def _said(message: str) -> str:
    """Return the driver's own errors, or else its last line."""
    lines = [line.strip() for line in message.splitlines()[1:] if line.strip()]
    errors = [line.removeprefix("error ") for line in lines if line.startswith("error ")]
    if errors:
        more = len(errors) - LINES
        return " ".join(errors[-LINES:]) + (f" (and {more} more)" if more > 0 else "")
    return _short(lines[-1]) if lines else "The driver failed and printed nothing."


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= LETTERS else f"{words[:LETTERS]} ..."
