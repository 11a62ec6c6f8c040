"""Tables of maps against maps: student and teacher, trained and randomised, clean and noisy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kdray.report import cells, explained
from kdray.report.cells import Cell, Column, Table
from kdray.report.explained import ALIKE, STABILITY, Row
from kdray.report.facts import Results
from kdray.report.maps import interval


def agreement_table(results: Results) -> Table:
    """Return one row a student and method: how alike its maps and its teacher's are."""
    rows = explained.agreement(results)
    shown = tuple(
        (
            *_names(row),
            *(
                cell
                for name in ALIKE
                for cell in _pair(row["all"], name, best=_closest(rows, row, name))
            ),
            _above(row["all"]),
        )
        for row in rows
    )
    above = Column("above", "Above chance", "Scores whose interval lies above chance", True)
    notes = (_notes(results)[0], _BEST, *_notes(results)[1:])
    columns = (*_NAMED, *_pairs(), above)
    return Table("agreement", "Maps of student and teacher", columns, shown, notes)


def agreement_by_class_table(results: Results) -> Table:
    """Return one row a student, method and class: how alike the maps of that class are."""
    shown = tuple(
        (
            *_names(row),
            cells.word(name),
            *(cell for score in ALIKE for cell in _pair(found, score)),
        )
        for row in explained.agreement(results)
        for name, found in (row.get("classes") or {}).items()
    )
    columns = (*_NAMED, Column("class", "Class", "The class that is explained"), *_pairs())
    note = "Maps of one class, of all scored images whatever their own class."
    title = "Maps of student and teacher, class by class"
    notes = (note, *_notes(results)[1:])
    return Table("agreement_by_class", title, columns, shown, notes)


def compact(table: Table) -> Table:
    """Return the table for readers: an only teacher stands in the heading, not in each row."""
    keys = [column.key for column in table.columns]
    if not table.name.startswith("agreement") or "teacher" not in keys:
        return table
    teachers = {row[keys.index("teacher")].text for row in table.rows}
    if len(teachers) != 1:
        return table
    kept = cells.only(table, [key for key in keys if key != "teacher"])
    return replace(kept, title=f"{table.title} ({teachers.pop()})")


def sanity_table(results: Results) -> Table:
    """Return one row a model and method: whether maps depend on the weights, and how firmly."""
    columns = (
        Column("label", "Model"),
        Column("method", "Method"),
        Column("verdict", "Randomised weights", _VERDICT),
        *(
            Column(key, explained.title(name), explained.meaning(name), True)
            for key, name in (("ssim", "randomised_ssim"), ("chance_ssim", "randomised_chance"))
        ),
        *(
            Column(key, explained.title(key), explained.meaning(key), True, True)
            for key in STABILITY
        ),
        Column("images", "Images", "Images that were checked", True),
    )
    shown = tuple(
        (
            cells.word(row["label"]),
            cells.word(row["method"]),
            cells.word(row.get("verdict")),
            cells.fixed(_last(row).get("ssim")),
            cells.fixed(row.get("chance_ssim")),
            *(cells.interval(row.get(key)) for key in STABILITY),
            cells.count(row.get("images")),
        )
        for row in explained.sanity(results)
    )
    note = (
        "Randomised weights: layers are set to random values from the head down. Maps that stay "
        "as they were do not show what the model learned; passed: all randomised, they are less "
        "alike than random pairs of maps are."
    )
    return Table("sanity", "Sanity of the maps", columns, shown, (note,))


def _names(row: Row) -> tuple[Cell, ...]:
    return tuple(cells.word(row.get(key)) for key in ("label", "method", "teacher"))


def _pairs() -> tuple[Column, ...]:
    return tuple(
        column
        for name in ALIKE
        for column in (
            Column(name, explained.title(name), explained.meaning(name), True, True),
            Column(f"chance_{name}", "By chance", explained.meaning(f"chance_{name}"), True, True),
        )
    )


def _pair(found: Mapping[str, Any], name: str, *, best: bool = False) -> tuple[Cell, Cell]:
    """Return a score and its chance level; the interval of the latter is for programs."""
    chance = interval(found.get(f"chance_{name}"))
    short = replace(chance, text=chance.text.partition(" [")[0], seeds=None)
    return replace(interval(found.get(name)), best=best), short


def _closest(rows: Sequence[Row], row: Row, name: str) -> bool:
    """Return whether no student's maps are nearer to the same teacher's, and above chance."""
    key = (row["method"], row.get("teacher"))
    own = [
        value
        for other in rows
        if (other["method"], other.get("teacher")) == key
        and (value := explained.mean(other["all"].get(name))) is not None
    ]
    mine = explained.mean(row["all"].get(name))
    chance = explained.mean(row["all"].get(f"chance_{name}"))
    if mine is None or len(own) < 2 or (chance is not None and mine <= chance):
        return False
    return mine == max(own)


def _above(found: Mapping[str, Any]) -> Cell:
    judged = [
        explained.beats(found.get(name), explained.mean(found.get(f"chance_{name}")), name)
        for name in ALIKE
    ]
    known = [item for item in judged if item is not None]
    return Cell(f"{sum(known)} of {len(known)}", sum(known)) if known else cells.word(None)


def _last(row: Row) -> Mapping[str, Any]:
    stages = row.get("stages") or [{}]
    found: Mapping[str, Any] = stages[-1]
    return found


def _notes(results: Results) -> tuple[str, str]:
    grid = (explained.explanations(results).get("scored") or {}).get("grid")
    size = f" on a grid of at most {grid} x {grid}" if grid else ""
    return (
        f"Maps of all classes of an image, student's against teacher's{size}.",
        "A score says something only as far as it lies above the one by chance: objects in the "
        "middle of every image make any two maps alike.",
    )


_NAMED = (Column("label", "Student"), Column("method", "Method"), Column("teacher", "Teacher"))
_BEST = "Bold: the student nearest to its teacher by that method."
_VERDICT = (
    "Whether the maps change when the weights are random: SSIM below that of random pairs of maps"
)
