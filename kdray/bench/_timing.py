"""How things are timed: variants take turns, and each round gives one ratio of each pair."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

#: Seconds of each variant, a value a round; round i of all variants was taken side by side.
Times = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Spread:
    """The middle of several measurements.

    Args:
        median: Half of them are smaller.
        low: A quarter of them are smaller.
        high: A quarter of them are larger.
        n: How many they are.
    """

    median: float
    low: float
    high: float
    n: int


def spread(values: Sequence[float]) -> Spread:
    """Return median, quartiles and number of measurements.

    Raises:
        ValueError: There are none.
    """
    if not values:
        raise ValueError("nothing was measured")
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, len(values))


def ratios(times: Times, ours: Sequence[str], theirs: Sequence[str]) -> list[float]:
    """Return the ratio of each round: the sum of ``ours`` over the sum of ``theirs``.

    What slows the machine for a while slows both, so a ratio is steadier than its parts.
    """
    above, below = _sums(times, ours), _sums(times, theirs)
    return [a / b for a, b in zip(above, below, strict=True)]


def _sums(times: Times, names: Sequence[str]) -> list[float]:
    return [sum(each) for each in zip(*(times[name] for name in names), strict=True)]


def alternate(
    variants: Mapping[str, Callable[[], float]], rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Return the seconds that variants take, in turns: A B C, then A B C again.

    Every other round goes through them backwards, so that none always follows the same one.

    Args:
        variants: Name -> does its work once and returns how long it took.
        rounds: Measurements of each.
        warm_up: Rounds before them that are thrown away.
    """
    times: dict[str, list[float]] = {name: [] for name in variants}
    for index in range(warm_up + rounds):
        names = list(variants)[:: 1 if index % 2 == 0 else -1]
        for name in names:
            seconds = variants[name]()
            if index >= warm_up:
                times[name].append(seconds)
    return times


def seconds_of(
    work: Callable[[], object],
    wait: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return how long some work takes, with no garbage collection in between.

    Args:
        work: What to do.
        wait: Returns once the device has done it.
        clock: Returns seconds.
    """
    with _uncollected():
        wait()
        start = clock()
        work()
        wait()
        return clock() - start


@contextmanager
def _uncollected() -> Iterator[None]:
    """Collect garbage before, not within."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(frozen=True)
class Effort:
    """How long something is measured.

    Args:
        seconds: For all rounds together.
        least: Rounds however long they take.
        most: Rounds however quick they are.
    """

    seconds: float
    least: int = 9
    most: int = 101


def alternate_for(
    variants: Mapping[str, Callable[[], float]], effort: Effort, warm_up: int = 2
) -> dict[str, list[float]]:
    """Return the seconds that variants take, in turns, in as many rounds as the effort allows.

    Args:
        variants: Name -> does its work once and returns how long it took.
        effort: How long, and how many rounds.
        warm_up: Rounds before them that are thrown away; the last says how long a round takes.
    """
    first = alternate(variants, 1, warm_up - 1)
    round_s = sum(values[0] for values in first.values())
    rounds = int(effort.seconds / max(round_s, 1e-9))
    return alternate(variants, min(max(rounds, effort.least), effort.most), 0)
