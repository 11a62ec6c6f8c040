"""What a job does, as it does it: its events, its state, and that one driver runs it at a time."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from kdray.errors import KdrayError, Stopped, StoreError
from kdray.run.driver import BEAT_S, LAUNCH, Claim, is_alive, is_here, is_silent, this_driver
from kdray.run.lines import Lines, read_lines
from kdray.store import Store

#: Remote event segments are written at most so often, seconds.
FLUSH_S = 3.0

#: Kinds of events -> what they tell beside ``time``, ``kind`` and ``step``.
KINDS = {
    "job_started": "job, steps: [{id, label, state}]",
    "step_started": "",
    "run_started": "run",
    "run_finished": "run",
    "step_skipped": "",  # its result was there already
    "progress": "done, total, unit; within an epoch also run, epoch, epochs",
    "epoch": "run, epoch, epochs, loss, score, metric, best, images_per_s, seconds_left",
    "trial": "run, number, trials, done, score, metric, state, params, best, best_run",
    "step_finished": "seconds",
    "step_failed": "error",
    "note": "text",
    "job_finished": "seconds",
    "job_failed": "error",
    "job_stopped": "",
}

Event = dict[str, Any]
Listener = Callable[[Event], None]


class Journal:
    """The writer of a job's ``events.jsonl`` and ``state.json``.

    As a context manager it makes this process the job's only driver, gives signs of life from a
    thread, and on leaving sees to it that the state is no longer ``running``::

        with Journal(store, "quickstart", [progress]) as journal:
            journal.event("job_started", steps=[...])

    The events that begin and end a job or a step also change the state. Any thread may write.

    Args:
        store: The job's storage.
        job: Name of the job.
        listeners: Called with each event, in the thread that writes it.
        clock: Returns seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        job: str,
        listeners: Sequence[Listener] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.job = job
        self._store = store
        self._listeners = tuple(listeners)
        self._clock = clock
        self._lines = Lines(store, _events(job))
        self._state: dict[str, Any] = {}
        self._alone = threading.RLock()
        self._left = threading.Event()
        self._closed = False
        self._claim: Claim | None = None
        self._pulse: threading.Thread | None = None

    def __enter__(self) -> Journal:
        """Become the job's only driver.

        Raises:
            RunError: Another driver runs this job in this storage.
        """
        self._claim = Claim(self._store, self.job)
        self._pulse = threading.Thread(target=self._beat, name="kdray-journal", daemon=True)
        self._pulse.start()
        self.state(state="running")  # at once: looking at the data may take a while
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave no job ``running`` that no longer runs, and let others drive it."""
        try:
            with self._alone:
                if self._state.get("state") == "running":
                    self._end(error)
                self._closed = True
                self._flush()
        finally:
            self._left.set()
            if self._pulse is not None:
                self._pulse.join()
            if self._claim is not None:
                self._claim.release()

    def event(self, kind: str, step: str = "", **facts: Any) -> None:
        """Write an event, change the state if it says so, and tell the listeners.

        What threads still tell after the journal was left is dropped: another driver may have
        begun.

        Args:
            kind: One of ``KINDS``.
            step: Id of the step it belongs to.
            **facts: What happened; numbers that are not finite are written as null.

        Raises:
            StoreError: The storage refuses.
        """
        now = round(self._clock(), 3)
        event = {"time": now, "kind": kind, "step": step, **_plain(facts)}
        if kind == "job_started":
            event["job"] = self.job
        with self._alone:
            if self._closed:
                return
            self._lines.append(json.dumps(event))
            if self._pulse is None:
                self._lines.flush()
            changes = _changes(event)
            if changes:
                self.state(**changes)
            for listener in self._listeners:
                listener(event)

    def state(self, **changes: Any) -> None:
        """Change fields of the job's state and write it whole.

        Raises:
            StoreError: The storage refuses.
        """
        now = round(self._clock(), 3)
        with self._alone:
            if not self._state:
                self._state = {"job": self.job, "state": "running", **this_driver()}
                self._state |= {"started": now, "step": "", "error": "", "spec": "", "command": ""}
                self._state["launch"] = os.environ.get(LAUNCH, "")
            self._state |= {**_plain(changes), "updated": now}
            self._store.write_json(_state(self.job), self._state)

    def stop(self) -> None:
        """Write down that the job was stopped; what is told after that is dropped.

        Until the journal is left this process stays the job's only driver.

        Raises:
            StoreError: The storage refuses.
        """
        with self._alone:
            self.event("job_stopped")
            self._closed = True
            self._flush()

    def events(self) -> list[Event]:
        """Return the job's events so far, those of earlier runs first."""
        self._flush()
        return read_events(self._store, self.job)

    def _end(self, error: BaseException | None) -> None:
        if error is None:
            self.event("job_finished", seconds=self._clock() - self._state["started"])
        elif isinstance(error, KeyboardInterrupt | Stopped):
            self.event("job_stopped")
        else:
            known = isinstance(error, KdrayError)
            self.event(
                "job_failed", error=str(error) if known else f"{type(error).__name__}: {error}"
            )

    def _flush(self) -> None:
        with self._alone:
            self._lines.flush()

    def _beat(self) -> None:
        beaten = self._clock()
        while not self._left.wait(FLUSH_S):
            try:
                self._flush()
                if self._clock() - beaten < BEAT_S or self._claim is None:
                    continue
                beaten = self._clock()
                if not self._claim.is_mine():
                    # This host slept, and another driver has gone on with the job.
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                self._claim.beat()
            except StoreError:
                continue  # a storage that answers again later: the next round writes it all


def read_events(store: Store, job: str) -> list[Event]:
    """Return a job's events, oldest first; half-written lines are left out."""
    found = (_parsed(line) for line in read_lines(store, _events(job)))
    return [event for event in found if event is not None]


def read_state(store: Store, job: str) -> dict[str, Any] | None:
    """Return a job's state, or None where there is no such job.

    A job whose driver is gone without having said so is ``lost``; ``error`` says how to go on.
    """
    state: dict[str, Any] | None = store.read_json(_state(job))
    if state is None or state.get("state") != "running":
        return state
    if is_alive(state) if is_here(state) else not is_silent(store, job):
        return state
    who = f"process {state.get('pid')} on {state.get('host')}"
    again = f"Continue with {_again(state)}: finished steps are not repeated."
    return {**state, "state": "lost", "error": f"The driver ({who}) is gone. {again}"}


def list_jobs(store: Store) -> list[dict[str, Any]]:
    """Return the states of all jobs of a storage, the latest first."""
    states = (read_state(store, job) for job in store.list("jobs"))
    found = [state for state in states if state is not None]
    return sorted(found, key=lambda state: -float(state.get("started", 0)))


def close_lost(store: Store, job: str) -> None:
    """Write down that a job was stopped whose driver could not do so itself."""
    state = read_state(store, job)
    if state is None or state["state"] != "lost":
        return
    now = round(time.time(), 3)
    lines = Lines(store, _events(job))
    lines.append(json.dumps({"time": now, "kind": "job_stopped", "step": ""}))
    lines.flush()
    store.write_json(_state(job), {**state, "state": "stopped", "error": "", "updated": now})


def _events(job: str) -> str:
    return f"jobs/{job}/events.jsonl"


def _state(job: str) -> str:
    return f"jobs/{job}/state.json"


def _again(state: Mapping[str, Any]) -> str:
    if state.get("launch"):
        return "`kdray submit`"  # its job file there was a copy
    command = state.get("command") or f"kdray run {state.get('spec') or 'SPEC'}"
    return f"`{command}`"


def _changes(event: Event) -> dict[str, Any]:
    """Return what an event changes in the state of its job."""
    kind = event["kind"]
    if kind == "job_started":
        return {"state": "running", "error": ""}
    if kind == "step_started":
        return {"step": event["step"]}
    if kind in ("job_finished", "job_stopped"):
        return {"state": kind.removeprefix("job_"), "step": "", "error": ""}
    if kind == "job_failed":
        return {"state": "failed", "error": str(event.get("error", ""))}
    return {}


def _parsed(line: str) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "kind" in event else None


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: NumPy numbers as Python's, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
