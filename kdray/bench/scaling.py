"""What more workers would give: a model of a search, computed from what was measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from kdray.errors import DataError

#: Trials before those that the driver was timed with.
FEW, MANY = 10, 400

COLUMNS = ("worker", "recording", "search", "trials an hour", "busy", "first to saturate")


@dataclass(frozen=True)
class Measured:
    """What ``kdray bench search`` and ``data`` measured; a worker is one CPU of that machine.

    Args:
        trial_s: Seconds of a trial's training.
        between_s: Seconds between two trials of a worker.
        start_s: Seconds from the begin of a search to its first trial at work.
        rate_1: Trials a second of one worker.
        rate_2: Trials a second of two.
        trial_images: Images that a trial trains on, over its epochs.
        record_images: Images that the teachers were shown, over all views.
        record_s: Seconds that this took.
        record_workers: Workers that did it.
        ask_few_s: Seconds that the driver takes to choose and close a trial after ``FEW`` others.
        ask_many_s: The same after ``MANY`` others.
        read_images_s: Images a second that one CPU reads and standardises.
    """

    trial_s: float
    between_s: float
    start_s: float
    rate_1: float
    rate_2: float
    trial_images: float
    record_images: float
    record_s: float
    record_workers: float
    ask_few_s: float
    ask_many_s: float
    read_images_s: float

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Measured:
        """Return the inputs of benchmarks, put together.

        Raises:
            DataError: One is missing.
        """
        names = [field.name for field in fields(cls)]
        absent = [name for name in names if name not in found]
        if absent:
            problem = f"{absent[0]} was not measured."
            remedy = "Give the output of `kdray bench search --json` and `data --json`."
            raise DataError("bench scale", problem, remedy)
        return cls(**{name: float(found[name]) for name in names})


@dataclass(frozen=True)
class Wanted:
    """What is to be foretold.

    Args:
        workers: Workers, each with one trial at a time.
        trials: Trials of the search.
        speedup: How much faster than a measured worker each is, in teachers and students alike.
        cpus: CPUs that read images for one worker.
    """

    workers: int
    trials: int
    speedup: float = 1.0
    cpus: float = 2.0


@dataclass(frozen=True)
class Forecast:
    """What the model says.

    Args:
        record_s: Seconds of the recording.
        search_s: Seconds of the search after it.
        trials_hour: Trials an hour.
        busy: Part of the search that each resource works, 0..1.
        limits: The number of workers from which each resource but the workers is what limits.
    """

    record_s: float
    search_s: float
    trials_hour: float
    busy: Mapping[str, float]
    limits: Mapping[str, float]

    @property
    def first(self) -> str:
        """The resource that saturates first when workers are added."""
        return min(self.limits, key=lambda name: self.limits[name])


def forecast(measured: Measured, wanted: Wanted) -> Forecast:
    """Return what a search would take.

    With N trials, W workers of speed-up f, and the efficiency e = rate_2 / (2 rate_1) that two
    workers of one machine have::

        cycle     c = trial_s / f + between_s
        workers   N c / (W e)
        driver    sum of d(n) over n < N, with the line d through the two ask_s
        reading   N trial_images / (W cpus read_images_s), of each worker's CPUs
        search    start_s + max(workers, driver, reading) + c
        recording record_s record_workers / (W f)

    The last c is the wait for the trials that are under way when none is left.
    """
    cycle = measured.trial_s / wanted.speedup + measured.between_s
    efficiency = min(1.0, measured.rate_2 / (2 * measured.rate_1))
    work = wanted.trials * cycle / efficiency
    driver = _driver_s(measured, wanted.trials)
    reading = wanted.trials * measured.trial_images / (wanted.cpus * measured.read_images_s)
    needs = {
        "workers": work / wanted.workers,
        "driver": driver,
        "reading": reading / wanted.workers,
    }
    search = measured.start_s + max(needs.values()) + cycle
    record = measured.record_s * measured.record_workers / (wanted.workers * wanted.speedup)
    return Forecast(
        record,
        search,
        3600 * wanted.trials / search,
        {name: seconds / search for name, seconds in needs.items()},
        # Readers come with the workers: they limit at any number of them, or never.
        {"driver": work / driver, "reading": 1.0 if reading > work else float("inf")},
    )


def _driver_s(measured: Measured, trials: int) -> float:
    """Return the seconds that the driver works for so many trials, one after the other."""
    slope = max(0.0, measured.ask_many_s - measured.ask_few_s) / (MANY - FEW)
    first = max(0.0, measured.ask_few_s - slope * FEW)
    return trials * first + slope * trials * (trials - 1) / 2


def cells(measured: Measured, wanted: Sequence[Wanted]) -> list[tuple[str, ...]]:
    """Return forecasts for people, a text for each of ``COLUMNS``."""
    return [_cells(one, forecast(measured, one)) for one in wanted]


def _cells(wanted: Wanted, found: Forecast) -> tuple[str, ...]:
    busy = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.busy.items())
    limit = found.limits[found.first]
    where = f"{found.first}, from {limit:,.0f} workers" if limit < float("inf") else "none"
    return (
        f"{wanted.workers} of {wanted.speedup:g} times a measured one",
        duration(found.record_s),
        duration(found.search_s),
        f"{found.trials_hour:,.0f}",
        busy,
        where,
    )


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
