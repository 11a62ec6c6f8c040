"""The process that drives a job: who it is, whether it lives, and that it is the only one."""

from __future__ import annotations

import fcntl
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdray.errors import RunError, StoreError
from kdray.store import Store

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
        seen = store.read_json(self._name)
        if seen and self._lives(seen, sleep):
            raise self._taken(seen)
        with _alone(store, job):
            now = store.read_json(self._name)
            if now != seen:
                raise self._taken(now or {})
            self.beat()
        if not store.is_local:  # no exclusive write here: the last of several writers has it
            sleep(1.0)
            now = store.read_json(self._name) or {}
            if now.get("id") != self._mine["id"]:
                raise self._taken(now)

    def beat(self) -> None:
        """Give a sign of life."""
        self._store.write_json(self._name, {**self._mine, "updated": time.time()})

    def is_mine(self) -> bool:
        """Return whether no other driver has taken the job over."""
        now = self._store.read_json(self._name)
        return not now or now.get("id") == self._mine["id"]

    def release(self) -> None:
        """Let others drive the job."""
        if self.is_mine():
            self._store.delete(self._name)

    def _lives(self, owner: Mapping[str, Any], sleep: Callable[[float], None]) -> bool:
        if is_here(owner):
            return is_alive(owner)
        # Not the age of the lock: the clocks of two hosts may differ.
        for _ in range(int(SILENT_S / 5)):
            sleep(5.0)
            now = self._store.read_json(self._name)
            if now != owner:
                return now is not None
        return False

    def _taken(self, owner: Mapping[str, Any]) -> RunError:
        who = f"process {owner.get('pid', '?')} on {owner.get('host', 'another host')}"
        return RunError(
            self._job,
            f"is already run by {who}.",
            f"Follow it: `kdray logs -f {self._job}`; end it: `kdray stop {self._job}`.",
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


@contextmanager
def _alone(store: Store, job: str) -> Iterator[None]:
    """Keep two processes of this host from looking at and writing a lock at the same time."""
    if not store.is_local:
        yield
        return
    folder = store.path(f"jobs/{job}")
    try:
        os.makedirs(folder, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StoreError(
            f"{store.uri}/jobs/{job}", f"cannot be written: {error.strerror}."
        ) from error
    try:
        _flock(handle)
        yield
    finally:
        os.close(handle)


def _flock(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        return  # some shared file systems have none; only two starts in one instant could clash
