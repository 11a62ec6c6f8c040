"""Events, times and counts in words."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from kdray.cli._view import Step, View

#: A plain log tells of progress at most so often, seconds.
QUIET_S = 10.0


class Teller:
    """Turns a stream of events into lines of a log: one for each event that is worth it."""

    def __init__(self) -> None:
        self.view = View()
        self._told: dict[str, float] = {}

    def lines(self, event: Mapping[str, Any]) -> Iterator[str]:
        """Yield the lines of one event, each with its time of day; often none."""
        self.view.take(event)
        kind, now = str(event.get("kind", "")), float(event.get("time") or 0)
        step = self.view.step(str(event.get("step") or ""))
        if kind == "progress":
            over = step.total and step.done >= step.total and not event.get("epochs")
            if not over and now - self._told.get(step.id, step.started) < QUIET_S:
                return
        self._told[step.id] = now
        text = describe(event, self.view)
        clock = time.strftime("%H:%M:%S", time.localtime(now))
        for line in text.splitlines():
            yield " ".join(part for part in (clock, step.label, line) if part)


def describe(event: Mapping[str, Any], view: View) -> str:
    """Return what an event says, without its time and step; empty if nothing."""
    kind, now = str(event.get("kind", "")), float(event.get("time") or 0)
    step = view.step(str(event.get("step") or ""))
    if kind == "job_started":
        ready = sum(one.state == "skipped" for one in view.steps.values())
        return f"job started: {len(view.steps)} steps, {ready} already done"
    if kind == "progress":
        return _join(_part_of_epoch(event) or count(step), left(step, now))
    if kind in ("epoch", "trial"):
        return _join(detail(event, view.score, step.label), left(step, now))
    plain = {
        "step_started": "started",
        "step_skipped": "already done",
        "step_finished": f"done in {clock(step.elapsed(now))}",
        "step_failed": f"failed: {event.get('error', '')}",
        "note": str(event.get("text", "")),
        "job_finished": f"job finished in {clock(view.elapsed(now))}",
        "job_failed": f"job failed: {event.get('error', '')}",
        "job_stopped": "job stopped",
    }
    return plain.get(kind, "")


def detail(event: Mapping[str, Any], score: str, label: str = "") -> str:
    """Return an epoch or a trial in one line: which, its numbers, its speed.

    Args:
        event: An event of kind epoch or trial.
        score: Name of the validation score, such as macro_f1.
        label: What the reader sees before it; a run named there is not named again.
    """
    run = str(event.get("run") or "")
    parts = ["" if run in label else run]
    if event.get("kind") == "trial":
        parts.append(f"trial {event.get('number')} {event.get('state') or ''}".rstrip())
    elif event.get("epoch") is not None:
        parts.append(f"epoch {event['epoch']}/{event.get('epochs', '?')}")
    for name, key in (("loss", "loss"), (score, "score")):
        if event.get(key) is not None:
            parts.append(f"{name} {number(event[key])}")
    if event.get("images_per_s"):
        parts.append(f"{float(event['images_per_s']):,.0f} images/s")
    params = event.get("params") or {}
    parts.append(" ".join(f"{key}={number(value)}" for key, value in params.items()))
    return _join(*parts)


def count(step: Step) -> str:
    """Return a step's progress: ``3/8 trials``."""
    if not step.total:
        return f"{step.done:,.0f} {step.unit}".rstrip() if step.done else ""
    return f"{int(step.done):,}/{step.total:,.0f} {step.unit}".rstrip()


def left(step: Step, now: float) -> str:
    """Return the time that is left of a step: ``0:21 left``; empty while nobody can tell."""
    seconds = step.left(now)
    return "" if seconds is None else f"{clock(seconds)} left"


def clock(seconds: float) -> str:
    """Return a duration as ``0:21``, ``12:03`` or ``1:12:03``."""
    whole = int(seconds + 0.5)
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"


def number(value: Any) -> str:
    """Return a number with as many digits as a reader needs; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return (
        str(value)
        if isinstance(value, int)
        else f"{value:.3g}"
        if abs(value) < 0.1
        else f"{value:.3f}"
    )


def _part_of_epoch(event: Mapping[str, Any]) -> str:
    if not event.get("epochs"):
        return ""
    part = f"{event.get('done')}/{event.get('total')} {event.get('unit') or ''}".rstrip()
    return f"epoch {event.get('epoch')}/{event['epochs']} {part}"


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)
