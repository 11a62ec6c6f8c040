"""The process that drives a job: who it is, whether it lives, and that it is the only one."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kdray.errors import RunError
from kdray.store import Store

#: Environment variable of a driver that a place has started: the job's id there. The driver writes
#: it into the job's state, so that the state of an earlier run is not taken for that of this one.
LAUNCH = "KDRAY_LAUNCH"
#: Seconds between two signs of life of a driver, in the lock of its job.
BEAT_S = 15.0
#: A driver on another host that gives no sign for so long is taken for dead.
SILENT_S = 4 * BEAT_S


def this_driver() -> dict[str, Any]:
    """Return how this process is recognised: ``pid``, ``host`` and ``born`` (see ``_born``)."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "born": _born(os.getpid())}


def is_here(driver: Mapping[str, Any]) -> bool:
    """Return whether a driver runs, or ran, on this host."""
    return bool(driver.get("host") == socket.gethostname())


def is_alive(driver: Mapping[str, Any]) -> bool:
    """Return whether a driver of this host still runs.

    A process that has since been given the same number is another one, and so is a zombie.
    """
    pid = int(driver.get("pid") or 0)
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives, and is another user's
    born = _born(pid)
    return born != "dead" and (not driver.get("born") or not born or born == driver["born"])


class Claim:
    """The right to be a job's only driver, kept as ``jobs/<job>/lock`` until it is released.

    The lock names its driver and a time that ``beat`` renews. A driver that died on this host is
    recognised by its process; one on another host by a lock that nobody renews any more.

    Args:
        store: The job's storage.
        job: Name of the job.
        sleep: Waits so many seconds; for tests.

    Raises:
        RunError: Another driver runs the job.
        StoreError: The storage cannot be written.
    """

    def __init__(
        self, store: Store, job: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._store = store
        self._job = job
        self._name = f"jobs/{job}/lock"
        self._mine = {"id": uuid.uuid4().hex, **this_driver()}
        if not store.replace(self._name, self._free(sleep), self._signed()):
            raise self._taken(store.read_json(self._name) or {})

    def beat(self) -> None:
        """Give a sign of life."""
        self._store.write(self._name, self._signed())

    def is_mine(self) -> bool:
        """Return whether no other driver has taken the job over."""
        now = self._store.read_json(self._name)
        return not now or now.get("id") == self._mine["id"]

    def release(self) -> None:
        """Let others drive the job."""
        if self.is_mine():
            self._store.delete(self._name)

    def _signed(self) -> bytes:
        return json.dumps({**self._mine, "updated": time.time()}).encode()

    def _free(self, sleep: Callable[[float], None]) -> bytes | None:
        """Return the lock as it stands, if there is one, when no living driver holds it."""
        seen = self._store.read(self._name)
        owner = json.loads(seen) if seen else {}
        if is_here(owner) and is_alive(owner):
            raise self._taken(owner)
        if not owner or is_here(owner):
            return seen
        # Not the age of the lock: the clocks of two hosts may differ.
        for _ in range(int(SILENT_S / 5)):
            sleep(5.0)
            now = self._store.read(self._name)
            if now is None:
                return None
            if now != seen:
                raise self._taken(owner)
        return seen

    def _taken(self, owner: Mapping[str, Any]) -> RunError:
        who = f"process {owner.get('pid', '?')} on {owner.get('host', 'another host')}"
        job = f"{self._job} --storage {self._store.uri}"
        return RunError(
            self._job,
            f"is already run by {who}.",
            f"Follow it: `kdray logs -f {job}`; end it: `kdray stop {job}`.",
        )


def is_silent(store: Store, job: str) -> bool:
    """Return whether a job's driver on another host has not given a sign of life for long."""
    lock = store.read_json(f"jobs/{job}/lock") or {}
    return time.time() - float(lock.get("updated", 0)) > SILENT_S


def _born(pid: int) -> str:
    """Return the clock ticks at which a process began, "dead" for a zombie, "" if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""  # no Linux
    state, *fields = stat.rpartition(")")[2].split()  # the name before may hold anything
    return "dead" if state in "ZX" else fields[18]
