"""How much of its time a search has spent, over all its runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


class Budget:
    """Hours in which trials run, and hours of the GPUs that they hold.

    Args:
        hours: The limit, if any.
        gpu_hours: The limit in hours of GPUs, if any.
        gpus: GPUs, or the part of one, of a trial.
        spent: What earlier runs of the search spent, as ``as_json`` gave it.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self,
        hours: float | None = None,
        gpu_hours: float | None = None,
        gpus: float = 0.0,
        spent: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = {"hours": hours, "gpu_hours": gpu_hours}
        self._gpus = gpus
        self._clock = clock
        before = spent or {}
        self._spent = {name: float(before.get(name, 0.0)) for name in self._limits}
        self._told = clock()

    def tick(self, running: int) -> None:
        """Count the time since the last call, in which so many trials ran."""
        now = self._clock()
        hours, self._told = (now - self._told) / 3600, now
        if running:
            self._spent["hours"] += hours
            self._spent["gpu_hours"] += hours * self._gpus * running

    @property
    def is_spent(self) -> bool:
        """Whether a limit is reached."""
        return any(
            limit is not None and self._spent[name] >= limit
            for name, limit in self._limits.items()
        )

    def as_json(self) -> dict[str, float]:
        """Return what was spent."""
        return {name: round(value, 6) for name, value in self._spent.items()}

    def limits(self) -> dict[str, float | None]:
        """Return the limits."""
        return dict(self._limits)
