"""Rows of the gradient methods and of the average feature map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from kdray.bench import _cams
from kdray.bench._cams import FORWARD, turn
from kdray.bench._explaining import (
    PEER,
    Measure,
    exact_row,
    exactness,
    faster,
    peer_turns,
    same_order,
)
from kdray.bench._table import Row
from kdray.bench._timing import Times, alternate_for, ratios, spread

#: kdray's methods -> what people call them.
CAMS: Final = {"gradcam": "Grad-CAM", "gradcampp": "Grad-CAM++", "layercam": "Layer-CAM"}
AVERAGE, AVERAGE_COST = "featuremaps", 1.1


@dataclass(frozen=True)
class Bars:
    """What gradient methods promise.

    Args:
        faster: Times as fast as pytorch-grad-cam, one class.
        cost: Of a plain forward pass, one class.
        faster_all: As ``faster``, all classes.
        cost_all: As ``cost``, all classes; None: no bar.
    """

    faster: float = 3.0
    cost: float = 1.15
    faster_all: float = 7.0
    cost_all: float | None = 1.25


#: VGG's head is heavy: 120 million weights go back and forth.
BARS = {"vgg": Bars(2.0, 1.6, 3.0, None)}


def cam_rows(measure: Measure) -> list[Row]:
    """Return the rows of the gradient methods, and of the average feature map."""
    built = measure.ours.build(_cams.kdray_variants, measure.case, (*CAMS, AVERAGE))
    rows: list[Row] = []
    for method in CAMS:
        measure.say(f"{CAMS[method]}, against {PEER}")
        rows += _against_peer(measure, method, built)
    measure.say("gradient methods, against the plain forward pass")
    return [*rows, *_cost_rows(measure, built)]


def _against_peer(
    measure: Measure, method: str, built: Mapping[str, Callable[[], float]]
) -> list[Row]:
    theirs = measure.peer.build(_cams.peer_variants, measure.case, method)
    ours = {turn(method, count): built[turn(method, count)] for count in measure.counts}
    effort = measure.efforts.quick
    third = replace(effort, seconds=effort.seconds / len(CAMS))
    times = alternate_for({**ours, **peer_turns(theirs)}, third)
    bars, name = BARS.get(measure.case.family, Bars()), CAMS[method]
    wanted = dict(zip(measure.counts, (bars.faster, bars.faster_all), strict=False))
    return [
        *(faster(measure, (name, method, count), times, bar) for count, bar in wanted.items()),
        *same_order(measure, name, method, times),
        exact_row(measure, name, exactness(measure, method)),
    ]


def _cost_rows(measure: Measure, built: Mapping[str, Callable[[], float]]) -> list[Row]:
    """Return what gradient methods and the average feature map cost of a forward pass."""
    wanted = [turn(method, count) for method in CAMS for count in measure.counts]
    average = turn(AVERAGE, 1)
    chosen = {name: built[name] for name in (FORWARD, *wanted, average)}
    # Every other time the first and the last come after themselves: nothing that counts is there.
    turns = {"first": built[FORWARD], **chosen, "last": built[FORWARD]}
    times = alternate_for(turns, measure.efforts.quick)
    bars = BARS.get(measure.case.family, Bars())
    costs = dict(zip(measure.counts, (bars.cost, bars.cost_all), strict=False))
    rows = [
        _cost(measure.what(CAMS[method], count), times, turn(method, count), bar)
        for method in CAMS
        for count, bar in costs.items()
    ]
    what = f"{measure.case.label}: average feature map"
    return [*rows, _cost(what, times, average, AVERAGE_COST)]


def _cost(what: str, times: Times, name: str, bar: float | None) -> Row:
    return Row(
        f"{what}: kdray / plain forward",
        spread(ratios(times, [name], [FORWARD])),
        bar=bar,
        parts={"kdray": spread(times[name]), FORWARD: spread(times[FORWARD])},
    )
