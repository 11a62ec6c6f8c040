"""A job's events, one after the other, to what a person wants to know of it now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: States of a trial that is over.
OVER = ("complete", "pruned", "failed")


@dataclass
class Step:
    """One step as it stands.

    ``state`` is waiting, running, done, skipped, failed or stopped. ``done`` of ``total``
    ``unit`` is its progress, ``counted`` by the step itself or else the epochs of its only run;
    ``trials`` are the numbers of those that are over; ``now`` is the latest epoch or trial.
    """

    id: str
    label: str
    state: str = "waiting"
    started: float = 0.0
    seconds: float | None = None
    done: float = 0
    total: float = 0
    unit: str = ""
    counted: bool = False
    trials: frozenset[int] = frozenset()
    now: dict[str, Any] = field(default_factory=dict)
    best: float | None = None
    seconds_left: float | None = None
    told: float = 0.0
    error: str = ""

    def elapsed(self, clock: float) -> float:
        """Return the seconds since the step began, or those it took."""
        if self.seconds is not None:
            return self.seconds
        return max(0.0, clock - self.started) if self.started else 0.0

    def left(self, clock: float) -> float | None:
        """Return the seconds that are left of the step, or None while nobody can tell."""
        if self.state != "running":
            return None
        if self.seconds_left is not None:
            return max(0.0, self.seconds_left - (clock - self.told))
        if not 0 < self.done < self.total:
            return None
        so_far = self.told - self.started
        if so_far <= 0:
            return None
        return max(0.0, so_far / self.done * (self.total - self.done) - (clock - self.told))


class View:
    """A job as its events tell it so far.

    Args:
        events: Events that have already happened.
    """

    def __init__(self, events: Iterable[Mapping[str, Any]] = ()) -> None:
        self.job = ""
        self.steps: dict[str, Step] = {}
        self.state = "waiting"
        self.error = ""
        self.note = ""
        self.started = 0.0
        self.ended: float | None = None
        self.score = "score"
        for event in events:
            self.take(event)

    def take(self, event: Mapping[str, Any]) -> None:
        """Learn from one event; kinds that are not known are passed over."""
        kind = str(event.get("kind", ""))
        if kind.startswith("job_"):
            self._job(kind.removeprefix("job_"), event)
            return
        if kind == "note":
            self.note = str(event.get("text") or "")
            return
        step = self.step(str(event.get("step") or ""))
        if kind.startswith("step_"):
            _moved(step, kind.removeprefix("step_"), event)
        elif kind in ("progress", "epoch", "trial"):
            if step.state == "waiting":
                _moved(step, "started", event)
            {"progress": _progress, "epoch": _epoch, "trial": _trial}[kind](step, event)
            self._best(step, event)

    def step(self, name: str) -> Step:
        """Return the step of a name; one that was not announced is added at the end."""
        if not name:
            return Step("", "")
        return self.steps.setdefault(name, Step(name, name))

    def elapsed(self, clock: float) -> float:
        """Return the seconds since the job began, or those it took."""
        return max(0.0, (self.ended or clock) - self.started) if self.started else 0.0

    def running(self) -> list[Step]:
        """Return the steps that run now."""
        return [step for step in self.steps.values() if step.state == "running"]

    def facts(self, clock: float) -> list[dict[str, Any]]:
        """Return the steps for programs."""
        return [
            {
                "id": step.id,
                "label": step.label,
                "state": step.state,
                "seconds": round(step.elapsed(clock), 3) if step.started else None,
                "seconds_left": step.left(clock),
                "done": step.done if step.total else None,
                "total": step.total or None,
                "unit": step.unit or None,
                "best": step.best,
                "now": {k: v for k, v in step.now.items() if k not in ("time", "kind", "step")},
                "error": step.error or None,
            }
            for step in self.steps.values()
        ]

    def close(self, state: str) -> None:
        """Say of what still runs that it runs no more: the job's end was not told."""
        if self.state == "running":
            self.state = state
        for step in self.running():
            step.state = state

    def _job(self, kind: str, event: Mapping[str, Any]) -> None:
        if kind == "started":
            self.steps = {}
            for item in event.get("steps") or ():
                name = str(item.get("id"))
                state = "skipped" if item.get("state") in ("done", "skipped") else "waiting"
                self.steps[name] = Step(name, _label(item, name), state)
            self.state, self.started, self.ended = "running", float(event["time"]), None
            self.error = ""
            self.job = str(event.get("job") or "")
            self.score = str(event.get("select") or self.score)
            return
        self.state, self.ended = kind, float(event["time"])
        self.error = str(event.get("error") or "")
        for step in self.running():
            step.seconds = step.elapsed(self.ended)
            step.state = "done" if kind == "finished" else kind

    def _best(self, step: Step, event: Mapping[str, Any]) -> None:
        self.score = str(event.get("metric") or self.score)
        score = event.get("score")
        if score is None:
            return
        choose = min if self.score == "loss" else max
        step.best = float(score) if step.best is None else choose(step.best, float(score))


def _label(item: Mapping[str, Any], name: str) -> str:
    kind, label = str(item.get("kind") or ""), str(item.get("label") or name)
    return label if not kind or label.startswith(kind) else f"{kind} {label}"


def _moved(step: Step, kind: str, event: Mapping[str, Any]) -> None:
    now = float(event.get("time") or 0)
    if kind == "started":
        step.state, step.started, step.seconds = "running", now, None
    elif kind == "skipped":
        step.state = "skipped"
    elif kind in ("finished", "failed"):
        given = event.get("seconds")
        step.seconds = float(given) if given is not None else step.elapsed(now)
        step.state = "done" if kind == "finished" else "failed"
        step.error = str(event.get("error") or "")


def _progress(step: Step, event: Mapping[str, Any]) -> None:
    done, total = float(event.get("done") or 0), float(event.get("total") or 0)
    if event.get("epochs"):  # a part of an epoch
        if step.counted:
            return
        part = done / total if total else 0.0
        step.done, step.total = float(event["epoch"]) - 1 + part, float(event["epochs"])
        step.unit = "epochs"
        if step.seconds_left is None:
            step.told = float(event.get("time") or 0)
        return
    step.done, step.total, step.counted = done, total, True
    step.unit = str(event.get("unit") or "")
    _time_left(step, event)


def _epoch(step: Step, event: Mapping[str, Any]) -> None:
    step.now = dict(event)
    if step.counted:
        return  # the step counts trials: an epoch is a detail of one
    step.done = float(event.get("epoch") or 0)
    step.total = float(event.get("epochs") or 0)
    step.unit = "epochs"
    _time_left(step, event)


def _trial(step: Step, event: Mapping[str, Any]) -> None:
    step.now = dict(event)
    step.total = float(event.get("trials") or 0)
    step.unit = "trials"
    step.counted = True
    if event.get("state") in OVER:
        step.trials |= {int(event.get("number") or 0)}
    # Trials of before an interruption are counted by the search alone.
    step.done = float(event.get("done") or len(step.trials))
    _time_left(step, event)


def _time_left(step: Step, event: Mapping[str, Any]) -> None:
    step.seconds_left = event.get("seconds_left")
    step.told = float(event.get("time") or 0)
