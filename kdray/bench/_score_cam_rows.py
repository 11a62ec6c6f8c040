"""Rows of Score-CAM: exact, approximated, and its memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kdray.bench import _cams, _peak
from kdray.bench._cams import KEPT, Answer, turn
from kdray.bench._explaining import (
    PEER,
    Measure,
    exact_row,
    exactness,
    faster,
    lowest,
    one,
    peer_turns,
    same_order,
)
from kdray.bench._likeness import Likeness, likeness
from kdray.bench._room import Factory, Room
from kdray.bench._table import PEARSON, Row
from kdray.bench._timing import alternate_for

SCORE_CAM, FAST, PREVIEW = "scorecam", "score-cam-fast", "score-cam-preview"
#: The methods -> what people call them.
CALLED = {SCORE_CAM: "exact Score-CAM", FAST: FAST, PREVIEW: PREVIEW}
#: Exact: times as fast as the peer for one class and for all, and the share of its memory.
EXACT_FASTER, EXACT_FASTER_ALL, EXACT_MEMORY = 2.5, 8.0, 1 / 3
#: Times as fast as the peer's exact ones, and the mean and lowest correlation with exact maps.
FAST_FASTER, FAST_MEAN, FAST_LOWEST = 8.0, 0.97, 0.89
PREVIEW_FASTER, PREVIEW_MEAN = 40.0, 0.92
#: An estimate this much above the true correlation promises too much.
_OVER = 0.05


def score_cam_rows(measure: Measure) -> list[Row]:
    """Return the speed of Score-CAM, exact and approximated, and that it is exact."""
    measure.say(f"Score-CAM, against {PEER}")
    ours = measure.ours.build(_cams.kdray_variants, measure.case, tuple(CALLED))
    theirs = measure.peer.build(_cams.peer_variants, measure.case, SCORE_CAM)
    chosen = [(name, count) for name in CALLED for count in measure.counts]
    turns = {turn(*which): ours[turn(*which)] for which in chosen}
    times = alternate_for({**turns, **peer_turns(theirs)}, measure.efforts.slow, warm_up=1)
    bars = {
        (SCORE_CAM, measure.all): EXACT_FASTER_ALL,
        (SCORE_CAM, 1): EXACT_FASTER,
        (FAST, 1): FAST_FASTER,
        (PREVIEW, 1): PREVIEW_FASTER,
    }
    name = CALLED[SCORE_CAM]
    return [
        *(
            faster(measure, (CALLED[method], method, count), times, bars.get((method, count)))
            for method, count in chosen
        ),
        *same_order(measure, name, SCORE_CAM, times),
        exact_row(measure, name, exactness(measure, SCORE_CAM)),
    ]


def fast_rows(measure: Measure) -> list[Row]:
    """Return how like the exact maps the approximations are, and whether they know it."""
    built = measure.ours.build(_cams.kdray_variants, measure.case, tuple(CALLED))
    exact = turn(SCORE_CAM, measure.all)
    chosen = [(name, count) for name in (FAST, PREVIEW) for count in measure.counts]
    for image in range(len(measure.case)):
        measure.say(f"exact and approximate maps, image {image + 1}/{len(measure.case)}")
        for name in (exact, *(turn(*which) for which in chosen)):
            built[name]()
    kept: dict[str, dict[int, Answer]] = measure.ours.result(KEPT)
    bars = {(FAST, 1): (FAST_MEAN, FAST_LOWEST), (PREVIEW, 1): (PREVIEW_MEAN, None)}
    rows: list[Row] = []
    for which in chosen:
        bar = bars.get(which, (None, None))
        rows += _approximation(measure.what(*which), kept[turn(*which)], kept[exact], bar)
    return rows


def _approximation(
    what: str,
    found: Mapping[int, Answer],
    exact: Mapping[int, Answer],
    bars: tuple[float | None, float | None],
) -> list[Row]:
    places = [(image, place) for image in sorted(found) for place in range(len(found[image].maps))]
    pairs = ((found[image].maps[place], exact[image].maps[place]) for image, place in places)
    alike = likeness(pairs)
    least = lowest(f"{what}: lowest Pearson with the exact map", alike, bars[1])
    if not len(alike.compared):
        return [least]
    value = one(float(alike.compared.mean()))
    title = f"{what}: mean Pearson with the exact map"
    mean = Row(title, value, PEARSON, bars[0], True, note=alike.said)
    told = [found[image].estimated(place) for image, place in places]
    return [mean, least, *_estimate_rows(what, alike, np.array(told))]


def _estimate_rows(what: str, alike: Likeness, estimates: NDArray[np.float64]) -> list[Row]:
    """Return how far the carried estimates of the correlation are off."""
    known = np.isfinite(alike.pearson) & np.isfinite(estimates)
    if not known.any():
        return []
    true, told = alike.pearson[known], estimates[known].astype(float)
    over = (told > true + _OVER).mean()
    note = f"{over:.0%} of {known.sum()} maps are more than {_OVER:g} worse than estimated"
    if true.std() > 0 and told.std() > 0:
        note += f"; correlation of estimated and true {np.corrcoef(told, true)[0, 1]:.2f}"
    return [
        Row(
            f"{what}: estimated - true Pearson, mean size",
            one(float(np.abs(told - true).mean())),
            parts={"estimated": one(float(told.mean())), "true": one(float(true.mean()))},
            parts_unit=PEARSON,
            note=note,
        )
    ]


def memory_rows(measure: Measure) -> list[Row]:
    """Return the most memory that Score-CAM takes, each run in a process of its own."""
    case = measure.case
    rows: list[Row] = []
    for count in measure.counts:
        what = f"{measure.what(CALLED[SCORE_CAM], count)}: peak memory"
        measure.tell(what)
        mine = (turn(SCORE_CAM, count),)
        ours = _peak_of(measure, _cams.kdray_variants, (case, (SCORE_CAM,)), mine)
        each = tuple(f"class {place}" for place in range(count))
        theirs = _peak_of(measure, _cams.peer_variants, (case, SCORE_CAM), each)
        parts = {"kdray": one(ours), PEER: one(theirs)}
        share = one(ours / theirs)
        rows.append(
            Row(f"{what}, kdray / {PEER}", share, "ratio", EXACT_MEMORY, False, parts, "MB")
        )
    return rows


def _peak_of(
    measure: Measure,
    factory: Factory,
    args: tuple[object, ...],
    names: tuple[str, ...],
) -> float:
    with Room(measure.environment, measure.efforts.threads) as room:
        found: float = room.call(_peak.peak_mb, factory, args, names)
    return found
