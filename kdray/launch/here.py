"""This machine as a place: each job in the background, with a Ray of its own."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kdray.errors import RunError
from kdray.launch import local
from kdray.launch.place import Order, Sent, Sighting
from kdray.run.journal import list_jobs, read_state
from kdray.spec.target import Local
from kdray.store import Store

#: How often a followed log is looked at, seconds.
LOOK_S = 0.5


class Here:
    """This machine. A job's id is its name.

    Args:
        place: As the target has it.
        storage: URI of the storage whose jobs are looked at.
    """

    where = "this machine"

    def __init__(self, place: Local, storage: str = "runs") -> None:
        self.place = place
        self._storage = storage

    def submit(self, order: Order, new: bool = False) -> Sent:
        """Start a job, or find it running; see ``Place``.

        Raises:
            RunError: The driver ended at once; or ``new``, and the job runs already.
            StoreError: The storage cannot be written.
        """
        store = Store(order.storage)
        running = local.running(store, order.job)
        if running is not None and new:
            remedy = f"End it first: `kdray stop {order.job} --storage {order.storage}`."
            raise RunError(order.job, f"runs already, as process {running.pid}.", remedy)
        begun = local.start(local.command_of(order.file, order.sets), store, order.job)
        seen = Sighting(
            job=order.job,
            id=order.job,
            state="finished" if begun.state == "finished" else "running",
            where=self.where,
            storage=order.storage,
            kind=order.kind,
            process=str(begun.pid),
            log=begun.log,
        )
        return Sent(seen, begun.attached)

    def jobs(self) -> list[Sighting]:
        """Return the jobs of the storage, the latest first."""
        return [self._sighting(state) for state in list_jobs(Store(self._storage))]

    def look(self, id: str) -> Sighting | None:
        """Return a job by its name, or None where the storage has none."""
        state = read_state(Store(self._storage), id)
        return None if state is None else self._sighting(state)

    def logs(self, id: str, follow: bool = False) -> Iterator[str]:
        """Yield what a job in the background has printed; nothing of one in the foreground."""
        store = Store(self._storage)
        path = local.log_path(store, id)
        state = read_state(store, id) or {}
        if not _is_log_of(path, state):
            return
        new = _grown(path)
        while follow and (read_state(store, id) or {}).get("state") == "running":
            yield from new()
            time.sleep(LOOK_S)
        yield from new()

    def stop(self, id: str, wait_s: float, tell: Callable[[str], None] | None = None) -> str:
        """End a job as Ctrl-C does, or harder after ``wait_s`` seconds; return what was done."""
        return local.stop(Store(self._storage), id, wait_s, tell)

    def wait(self, sent: Sent) -> Sighting:
        """Return a job that ``submit`` started or found, once it is over."""
        seen = sent.seen
        begun = local.Submitted(seen.job, seen.state, int(seen.process), seen.log, sent.attached)
        state = local.wait_for(Store(seen.storage), begun)
        return self._sighting({"job": seen.job, **state})

    def _sighting(self, state: Mapping[str, Any]) -> Sighting:
        is_over = state["state"] != "running"
        return Sighting(
            job=state["job"],
            id=state["job"],
            state=state["state"],
            reason=str(state.get("error") or ""),
            where=self.where,
            created=state.get("started"),
            started=state.get("started"),
            ended=state.get("updated") if is_over else None,
            storage=self._storage,
            process=str(state.get("pid") or ""),
        )


def _is_log_of(path: Path, state: Mapping[str, Any]) -> bool:
    """Return whether a log was written by the last run: one in the foreground has none."""
    return path.exists() and path.stat().st_mtime >= float(state.get("started") or 0)


def _grown(path: Path) -> Callable[[], Iterator[str]]:
    """Return a function that yields what a file has grown by."""
    seen = 0
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a letter may be cut

    def new() -> Iterator[str]:
        nonlocal seen
        with open(path, "rb") as file:
            file.seek(seen)
            data = file.read()
        seen += len(data)
        if data:
            yield decoder.decode(data)

    return new
