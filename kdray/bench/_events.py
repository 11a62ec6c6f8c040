"""What a job's events tell of its search: how long it took, and what its trials waited for."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

Events = Sequence[Mapping[str, Any]]


def searching_s(events: Events) -> float:
    """Return the seconds from the end of the pretraining to the end of the search.

    They hold all that comes between: looking at what is to be recorded, recording, searching.
    """
    begins = [
        event["time"]
        for event in events
        if event["kind"] == "job_started" or _finished(event, "pretrain")
    ]
    ends = [event["time"] for event in events if _finished(event, "search")]
    return float(ends[-1] - begins[-1])


def spent_s(events: Events, kind: str) -> float:
    """Return the seconds of all steps of a kind."""
    return sum(float(event["seconds"]) for event in events if _finished(event, kind))


def trials(events: Events) -> list[list[tuple[float, float]]]:
    """Return, for each process, when each of its trials began and when its last epoch ended."""
    found: dict[int, list[tuple[float, float]]] = {}
    for event in events:
        if not str(event.get("step", "")).startswith("search/") or "pid" not in event:
            continue
        time, own = float(event["time"]), found.setdefault(int(event["pid"]), [])
        if event["kind"] == "run_started":
            own.append((time, time))
        elif event["kind"] == "epoch" and own:
            own[-1] = (own[-1][0], time)
    return [own for own in found.values() if own]


def between_s(processes: Sequence[Sequence[tuple[float, float]]]) -> list[float]:
    """Return the mean seconds between two trials of each process that had several."""
    return [
        statistics.mean(later[0] - earlier[1] for earlier, later in pairwise(own))
        for own in processes
        if len(own) > 1
    ]


def training_s(processes: Sequence[Sequence[tuple[float, float]]]) -> float:
    """Return the mean seconds of a trial, from its begin to the end of its last epoch."""
    return statistics.mean(end - begin for own in processes for begin, end in own)


def rate(processes: Sequence[Sequence[tuple[float, float]]]) -> float:
    """Return the trials a second that all processes do together, once they run."""
    return sum(
        len(own) / (own[-1][1] - own[0][0] + _gap(own))
        for own in processes
        if own[-1][1] > own[0][0]
    )


def _gap(own: Sequence[tuple[float, float]]) -> float:
    """Return the mean time between trials: each of them has one."""
    found = between_s([own])
    return found[0] if found else 0.0


def _finished(event: Mapping[str, Any], kind: str) -> bool:
    return event["kind"] == "step_finished" and str(event.get("step", "")).startswith(f"{kind}/")
