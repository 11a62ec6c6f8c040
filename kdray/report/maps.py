"""Tables of what maps are worth: faithfulness, readings of fidelity, lesions, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kdray.report import cells, explained
from kdray.report.cells import Cell, Column, Table
from kdray.report.explained import FAITHFULNESS, FIDELITY, LOCALISATION, RANDOM, Row
from kdray.report.facts import Results

#: What a map is not; stands beside every table and picture of maps.
CAUTION = "A map shows where the model looked, not where the disease is."
_MODEL = (Column("label", "Model"), Column("method", "Method"))


def faithfulness_table(results: Results) -> Table:
    """Return one row a model and method: how its answer moves with what the map marks."""
    return _scores(results, "faithfulness", "Faithfulness of the maps", FAITHFULNESS)


def fidelity_table(results: Results) -> Table:
    """Return one row a model and method: what papers may mean by fidelity, side by side."""
    found = _scores(results, "fidelity_candidates", "What papers may mean by fidelity", FIDELITY)
    note = (
        "The word is used for several measures; none of them is printed under that name alone. "
        "Whether a student answers as its teacher does is a sixth one, and no score of maps."
    )
    return replace(found, notes=(*found.notes, note))


def localisation_table(results: Results) -> Table:
    """Return one row a model and method: maps against the outlines of lesions."""
    found = _scores(results, "localisation", "Maps and lesions", LOCALISATION)
    masks = (explained.explanations(results).get("scored") or {}).get("masks")
    if not masks:
        return replace(found, rows=())
    note = f"Of the {masks} scored images with a known outline."
    return replace(found, notes=(note, *found.notes))


def cost_table(results: Results) -> Table:
    """Return one row a model and method: time of a map, and how many of them are blank."""
    rows = [row for row in explained.scores(results) if row["method"] != RANDOM]
    estimated = any(row.get("estimate") for row in rows)
    columns = (
        *_MODEL,
        *(
            Column(key, explained.title(key), explained.meaning(key), True, key == "met_ms")
            for key in ("met_ms", "met_forwards", "forwards")
        ),
        *((Column("estimate", "Estimate", _ESTIMATE, True, True),) if estimated else ()),
        Column("degenerate", "Blank maps", "Maps that show nothing and are left out", True),
    )
    shown = tuple(
        (
            cells.word(row["label"]),
            cells.word(row["method"]),
            replace(_time(row.get("met_ms")), best=_fastest(rows, row)),
            cells.times(cells.number(row.get("met_forwards"))),
            _forwards(row.get("forwards")),
            *((_estimate(row),) if estimated else ()),
            _of(row.get("degenerate"), row.get("maps")),
        )
        for row in rows
    )
    blank = explained.explanations(results).get("notes") or ()
    notes = (_timed(results), "Bold: the quickest method of each model.", *blank)
    return Table("explanation_costs", "Cost of a map", columns, shown, notes)


def baseline_note(results: Results) -> str:
    """Return what the rows of random maps are, and what is bold."""
    scored = explained.explanations(results).get("scored") or {}
    images = f"{scored.get('images')} images of split {scored.get('split')}, drawn evenly from "
    return (
        f"On {images}the classes; maps of the true class. Rows {RANDOM}: smooth random maps, "
        "which know nothing of image or model: what scores no better says nothing. Bold: the best "
        "method of each model, where it is better than random maps."
    )


def _scores(results: Results, name: str, title: str, names: Sequence[str]) -> Table:
    rows = explained.scores(results)
    kept = [name for name in names if any(explained.measured(row, name) for row in rows)]
    columns = (
        *_MODEL,
        *(Column(key, explained.title(key), explained.meaning(key), True, True) for key in kept),
        Column("beats", "Beat random", _BEATS, True),
    )
    shown = tuple(
        (
            cells.word(row["label"]),
            cells.word(row["method"]),
            *(_score(rows, row, key) for key in kept),
            _beats(rows, row, kept),
        )
        for row in rows
    )
    notes = (baseline_note(results), _over(results))
    return Table(name, title, columns, shown if kept else (), notes)


def _score(rows: Sequence[Row], row: Row, name: str) -> Cell:
    return replace(interval(explained.measured(row, name)), best=_best(rows, row, name))


def interval(found: Mapping[str, Any] | None) -> Cell:
    """Return a cell of a score over images, with its second interval where there are seeds."""
    seeds = (found or {}).get("seeds") or {}
    low, high = cells.number(seeds.get("low")), cells.number(seeds.get("high"))
    both = None if low is None or high is None else (low, high)
    return replace(cells.interval(found), seeds=both)


def _best(rows: Sequence[Row], row: Row, name: str) -> bool:
    """Return whether no method of a row's model is better, and random maps are worse."""
    if row["method"] == RANDOM or not explained.judged(name):
        return False
    sign = -1 if explained.better(name) == "low" else 1
    own = {
        other["method"]: sign * value
        for other in rows
        if other["label"] == row["label"]
        and (value := explained.mean(explained.measured(other, name))) is not None
    }
    floor = own.pop(RANDOM, None)
    mine = own.get(row["method"])
    if mine is None or len(own) < 2 or (floor is not None and mine <= floor):
        return False
    return mine == max(own.values())


def _beats(rows: Sequence[Row], row: Row, names: Sequence[str]) -> Cell:
    if row["method"] == RANDOM:
        return cells.word(None)
    found = [
        explained.beats(explained.measured(row, name), explained.baseline(rows, row, name), name)
        for name in names
        if explained.judged(name)
    ]
    known = [item for item in found if item is not None]
    return _of(sum(known), len(known)) if known else cells.word(None)


def _of(part: object, whole: object) -> Cell:
    found, total = cells.number(part), cells.number(whole)
    if found is None or total is None:
        return Cell(cells.MISSING)
    return Cell(f"{found:.0f} of {total:.0f}", round(found))


def _time(found: Mapping[str, Any] | None) -> Cell:
    """Return milliseconds with their interval, three significant digits: ``7.21 [7.05, 7.37]``."""
    value = explained.mean(found)
    if value is None:
        return Cell(cells.MISSING)
    low, high = (cells.number((found or {}).get(end)) for end in ("low", "high"))
    shown = cells.significant(value)
    if low is not None and high is not None:
        shown += f" [{cells.significant(low)}, {cells.significant(high)}]"
    return Cell(shown, value, low, high)


def _fastest(rows: Sequence[Row], row: Row) -> bool:
    own = [
        value
        for other in rows
        if other["label"] == row["label"]
        and (value := explained.mean(other.get("met_ms"))) is not None
    ]
    return len(own) > 1 and explained.mean(row.get("met_ms")) == min(own)


def _forwards(value: object) -> Cell:
    found = cells.number(value)
    if found is None:
        return Cell(cells.MISSING)
    return Cell(f"{found:,.0f}" if found == round(found) else f"{found:,.1f}", found)


def _estimate(row: Row) -> Cell:
    found = row.get("estimate")
    return cells.interval(found) if found else cells.word(None)


def _over(results: Results) -> str:
    level = f"{100 * results['confidence']:g}%"
    text = f"Brackets: {level} interval over the images"
    several = any((row.get("runs") or 1) > 1 for row in explained.scores(results))
    means = " (of each, the mean over the runs); seeds: over the runs of a model"
    return f"{text}{means if several else ''}."


def _timed(results: Results) -> str:
    scored = explained.explanations(results).get("scored") or {}
    threads = scored.get("threads")
    several = "" if threads == 1 else "s"
    where = f" on {scored['device'].upper()}" if scored.get("device") else ""
    where += f", {threads} thread{several}" if threads else ""
    return f"Times{where}, one image at a time."


_ESTIMATE = "The method's own estimate of its correlation with the exact map, mean"
_BEATS = "Scores of this table whose interval lies on the better side of the random maps' mean"
