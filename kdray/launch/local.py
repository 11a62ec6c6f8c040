"""Jobs in the background on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdray.errors import JobError, RunError, StoreError
from kdray.run.driver import LAUNCH, is_alive, is_here
from kdray.run.journal import close_lost, read_state
from kdray.store import Store

#: How often a process or a state is looked at, seconds.
LOOK_S = 0.1


@dataclass(frozen=True)
class Submitted:
    """A job in the background.

    Args:
        job: Its name.
        state: Its state: ``running``, ``finished``, or ``starting`` when its driver has not
            said anything yet.
        pid: The driver's process.
        log: Path of its log on this machine.
        attached: Whether it was already running.
    """

    job: str
    state: str
    pid: int
    log: str
    attached: bool


def command_of(file: str, sets: Sequence[str] = ()) -> list[str]:
    """Return the driver of a job file: a process that runs it to its end.

    Args:
        file: Path of the job file.
        sets: Overrides ``path.to.field=value``.
    """
    words = [sys.executable, "-u", "-m", "kdray.cli.main", "run", str(Path(file).resolve())]
    return [*words, "--plain", *(word for item in sets for word in ("--set", item))]


def start(command: Sequence[str], store: Store, job: str, wait_s: float = 60.0) -> Submitted:
    """Start a job's driver as a process that outlives this one, or find it running.

    Args:
        command: The driver: it writes the job's state, with its process number.
        store: The job's storage.
        job: Name of the job.
        wait_s: How long the first sign of life may take.

    Raises:
        RunError: The driver ended at once: with its last lines and its exit code.
        StoreError: The storage cannot be written.
    """
    other = running(store, job)
    if other is not None:
        return other
    path = log_path(store, job)
    with _open_log(path) as log:
        before = log.tell()
        driver = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # lives on when this terminal closes
            env={name: value for name, value in os.environ.items() if name != LAUNCH},
        )
    state = _first_sign(driver, store, job, wait_s)
    os.utime(path)  # younger than the run's beginning: that is how it is known as this run's log
    code = driver.poll()
    if code in (None, 0):
        shown = state or ("starting" if code is None else "finished")
        return Submitted(job, shown, driver.pid, str(path), attached=False)
    other = running(store, job)  # the same job may have been started twice in one moment
    if other is not None and other.pid != driver.pid:
        return other
    said = "\n".join(tail(path, 20, before)) or "It printed nothing."
    raise RunError(job, f"the driver ended at once with exit code {code}.", f"Log: {path}\n{said}")


def running(store: Store, job: str) -> Submitted | None:
    """Return a job that is being driven, or None."""
    state = read_state(store, job)
    if state is None or state["state"] != "running":
        return None
    return Submitted(job, "running", int(state["pid"]), str(log_path(store, job)), attached=True)


def wait_for(store: Store, submitted: Submitted) -> dict[str, Any]:
    """Return the state in which a submitted job ends, once it has."""
    if submitted.state == "finished":
        return {"state": "finished"}
    while True:
        lives = is_alive({"pid": submitted.pid})
        state = read_state(store, submitted.job) or {}
        if state.get("pid") == submitted.pid and state["state"] != "running":
            return state
        if not lives and state.get("pid") != submitted.pid:
            return {"state": "failed", "error": f"It ended before it began: see {submitted.log}."}
        time.sleep(LOOK_S)


def stop(
    store: Store, job: str, wait_s: float = 60.0, tell: Callable[[str], None] | None = None
) -> str:
    """End a job's driver on this machine as Ctrl-C does, or harder if it does not listen.

    Args:
        store: The job's storage.
        job: Name of the job.
        wait_s: How long the driver may take to stop cleanly; then it is terminated.
        tell: Takes a sentence on what is being waited for.

    Returns:
        What was done, as a sentence.

    Raises:
        JobError: There is no such job.
        RunError: The job runs on another machine, or its driver cannot be ended.
    """
    state = read_state(store, job)
    if state is None:
        raise JobError(job, f"there is no such job in {store.uri}.", "See `kdray jobs`.")
    again = "Run or submit it again to continue."
    if state["state"] == "lost":
        close_lost(store, job)
        return f"{job} had lost its driver; it is marked as stopped. {again}"
    if state["state"] != "running":
        return f"{job} is {state['state']}: there is nothing to stop."
    if not is_here(state):
        host = state.get("host")
        raise RunError(job, f"runs on {host}.", f"Call `kdray stop {job}` there.")
    for number, patience_s in ((signal.SIGINT, wait_s), (signal.SIGTERM, 15.0)):
        if tell:
            tell(f"sent {number.name} to process {state['pid']}, waiting up to {patience_s:.0f} s")
        if _ended_by(number, state, patience_s):
            close_lost(store, job)
            return f"{job} is stopped. {again}"
    raise RunError(
        job,
        f"process {state['pid']} does not end.",
        f"`kill -9 {state['pid']}` is safe: running the job again continues it.",
    )


def log_path(store: Store, job: str) -> Path:
    """Return where a background job's output is kept.

    With the job in a local storage; for a remote one on the machine that submitted it, because
    an object store cannot be appended to.
    """
    name = f"jobs/{job}/log.txt"
    if store.is_local:
        return Path(store.path(name))
    return Path.home() / ".cache" / "kdray" / "logs" / store.path(name)


def tail(path: Path, lines: int = 20, start: int = 0) -> list[str]:
    """Return the last lines of a log that are not empty, from byte ``start`` on."""
    if not path.exists():
        return []
    with open(path, "rb") as file:
        file.seek(start)
        text = file.read().decode(errors="replace")
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def _open_log(path: Path) -> Any:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "ab")
    except OSError as error:
        raise StoreError(str(path), f"cannot be written: {error.strerror}.") from error


def _first_sign(
    driver: subprocess.Popen[bytes], store: Store, job: str, wait_s: float
) -> str | None:
    """Return the state that a driver writes, or None if it ends or is silent for so long."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        ended = driver.poll() is not None
        state = read_state(store, job)
        if state is not None and state.get("pid") == driver.pid:
            return str(state["state"])
        if ended:
            return None
        time.sleep(LOOK_S)
    return None


def _ended_by(number: signal.Signals, state: Mapping[str, Any], patience_s: float) -> bool:
    end = time.monotonic() + patience_s
    try:
        if is_alive(state):
            os.kill(int(state["pid"]), number)
    except ProcessLookupError:
        return True
    except PermissionError:
        who = f"process {state['pid']}"
        raise RunError(str(state["job"]), f"{who} is another user's.", "Ask them.") from None
    while is_alive(state) and time.monotonic() < end:
        time.sleep(LOOK_S)
    return not is_alive(state)
