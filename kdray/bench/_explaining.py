"""What is measured of an explanation method, and the rows that several of them have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kdray.bench._cams import KEPT, LAID_OUT, Answer, turn
from kdray.bench._case import Case
from kdray.bench._likeness import Likeness, likeness
from kdray.bench._room import Room
from kdray.bench._table import PEARSON, Row
from kdray.bench._timing import Effort, Spread, Times, ratios, spread

PEER = "pytorch-grad-cam"
#: The lowest correlation of maps that are the same but for rounding.
EXACT = 0.9999
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Efforts:
    """How long things are measured.

    Args:
        quick: Gradient methods and scores.
        slow: Score-CAM.
        threads: Of each process.
    """

    quick: Effort
    slow: Effort
    threads: int = 2


@dataclass(frozen=True)
class Measure:
    """A classifier with all that its measurement takes.

    Args:
        case: The classifier.
        efforts: How long.
        ours: kdray's process.
        peer: That of pytorch-grad-cam.
        environment: Of all processes.
        tell: Told what comes next.
    """

    case: Case
    efforts: Efforts
    ours: Room
    peer: Room
    environment: Mapping[str, str]
    tell: Tell

    @property
    def all(self) -> int:
        """How many classes are explained at once."""
        return int(self.case.classes.shape[1])

    @property
    def counts(self) -> tuple[int, ...]:
        """One class, and all of them."""
        return (1, self.all) if self.all > 1 else (1,)

    def say(self, what: str) -> None:
        """Tell what comes next."""
        self.tell(f"{self.case.label}: {what}")

    def what(self, name: str, count: int) -> str:
        """Return the begin of a row's text."""
        return f"{self.case.label}: {name}, {count} class{'' if count == 1 else 'es'}"


def peer_turns(theirs: Mapping[str, Callable[[], float]]) -> dict[str, Callable[[], float]]:
    """Return what explains one class each."""
    return {name: timed for name, timed in theirs.items() if name.startswith("class ")}


def faster(measure: Measure, what: tuple[str, str, int], times: Times, bar: float | None) -> Row:
    """Return how many times as fast as one run a class of the peer something is.

    Args:
        measure: The measurement.
        what: What people call the method, its name, and how many classes at once.
        times: Seconds of both.
        bar: Times as fast, at least.
    """
    name, method, count = what
    ours, theirs = turn(method, count), [f"class {place}" for place in range(count)]
    whole = [sum(each) for each in zip(*(times[one] for one in theirs), strict=True)]
    return Row(
        f"{measure.what(name, count)}: {PEER} / kdray",
        spread(ratios(times, theirs, [ours])),
        "times",
        bar=bar,
        at_least=True,
        parts={"kdray": spread(times[ours]), PEER: spread(whole)},
        note=f"MET {_ms(times[ours])} against {_ms(whole)}",
    )


def same_order(measure: Measure, name: str, method: str, times: Times) -> list[Row]:
    """Return the speed against the peer on weights in kdray's order, where it is not the usual."""
    if LAID_OUT not in times:
        return []
    what = f"{measure.what(name, 1)}: {PEER} with kdray's order in memory / kdray"
    return [Row(what, spread(ratios(times, [LAID_OUT], [turn(method, 1)])), "times")]


def exactness(measure: Measure, method: str) -> Likeness:
    """Compare the maps that both have made so far, of all classes."""
    ours: dict[int, Answer] = measure.ours.result(KEPT)[turn(method, measure.all)]
    theirs: dict[str, dict[int, Answer]] = measure.peer.result(KEPT)
    return likeness(
        (ours[image].maps[place], theirs[f"class {place}"][image].maps[0])
        for place in range(measure.all)
        for image in sorted(ours.keys() & theirs[f"class {place}"].keys())
    )


def exact_row(measure: Measure, name: str, alike: Likeness) -> Row:
    """Return whether kdray's maps are the peer's."""
    return lowest(f"{measure.case.label}: {name}: lowest Pearson with {PEER}", alike, EXACT)


def lowest(what: str, alike: Likeness, bar: float | None) -> Row:
    """Return the lowest correlation, beside the mean one; or how many blank maps there are."""
    if not len(alike.compared):
        return Row(f"{what}: none, all maps are blank", one(len(alike.pearson)), "maps")
    parts = {"mean": one(float(alike.compared.mean()))}
    value = one(float(alike.compared.min()))
    return Row(what, value, PEARSON, bar, True, parts, PEARSON, alike.said)


def one(value: float) -> Spread:
    """Return what was measured once."""
    return Spread(value, value, value, 1)


def _ms(seconds: Sequence[float]) -> str:
    return f"{1000 * sum(seconds) / len(seconds):.1f} ms"
