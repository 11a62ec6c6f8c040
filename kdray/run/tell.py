"""What workers tell, as events of the job's journal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kdray.plan import Step
from kdray.run.journal import Journal


class Teller:
    """Turns what workers tell into the journal's events."""

    def __init__(self, journal: Journal, steps: Iterable[Step]) -> None:
        self._journal = journal
        self._begun: dict[str, float] = {}
        self._runs = {step.id for step in steps if step.kind in ("pretrain", "distil")}

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Write one event of a worker."""
        facts = dict(event)
        kind, step = facts.pop("kind"), facts.pop("step", "")
        if kind == "run_started" and step in self._runs:
            if step in self._begun:
                self._journal.event("note", step, text=f"{facts['run']} was started again")
            self.begin(step)
        if kind == "trial" and facts.get("state") == "running" and step not in self._begun:
            self.begin(step)
        self._journal.event(kind, step, **facts)
        if kind in ("run_finished", "search_finished"):
            self.end(step)

    def begin(self, step: str) -> None:
        """Say that a step has started."""
        if step not in self._begun:
            self._begun[step] = time.monotonic()
            self._journal.event("step_started", step)

    def end(self, step: str) -> None:
        """Say that a step has finished."""
        seconds = time.monotonic() - self._begun.get(step, time.monotonic())
        self._journal.event("step_finished", step, seconds=round(seconds, 2))

    @contextmanager
    def step(self, step: str) -> Iterator[None]:
        """Say that a step starts, and on leaving that it has finished."""
        self.begin(step)
        yield
        self.end(step)
