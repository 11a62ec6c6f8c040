"""What was recorded of the teachers, and how much of their work that saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdray.report import cells, facts
from kdray.report.cells import Column, Table, number, significant
from kdray.report.facts import Results
from kdray.report.trials import trials_of

Record = Mapping[str, Any]

#: Pairs that a note names, at most.
_NAMED = 6


def records_table(results: Results) -> Table:
    """Return one row a teacher: what was recorded of it, how large, how long it took."""
    columns = (
        Column("teacher", "Teacher"),
        Column("views", "Views", "Different views of each image", True),
        Column("images", "Images", "Images of a view", True),
        Column("looks", "Looks", "Images that the teacher was shown; the others lay there", True),
        Column("recorded", "Recorded", "What was written of each look"),
        Column("bytes", "Size", "Bytes in the storage", True),
        Column("live", "Live", "Pairs and methods that run it in every step", True),
        Column("seconds", "Time", "Of recording, s", True),
    )
    records = _records(results)
    rows = tuple(
        (
            cells.word(record["teacher"]),
            cells.count(record.get("views")),
            cells.count(record.get("images")),
            cells.count(record.get("teacher_images")),
            cells.word(", ".join(record.get("columns") or ()) or None),
            cells.size(record.get("bytes")),
            cells.count(len(record.get("live") or ())),
            cells.measured(record.get("seconds"), "s"),
        )
        for record in records
    )
    notes = (saved(results), *_live(records))
    return Table("records", "Recorded knowledge", columns, rows, tuple(filter(None, notes)))


def saved(results: Results) -> str:
    """Return how much teacher work the records saved, as a sentence; empty where not known.

    Counted are the images that the records hold, and those that the teachers would have been shown
    by training steps: the epochs of each trial and each run with a teacher, times the images of an
    epoch. Those of methods that still ran their teacher live count on both sides.
    """
    records = {record["teacher"]: record for record in _records(results)}
    held = sum(_held(record) for record in records.values())
    asked = live = 0.0
    for teacher, arm, epochs in _lessons(results):
        record = records.get(teacher, {})
        images = epochs * (number(record.get("images")) or 0.0)
        asked += images
        live += images * (arm in (record.get("live") or {}))
    if not held or not asked:
        return ""
    rest = f", and the pairs below ran them live on {live:,.0f} more" if live else ""
    ratio = asked / (held + live)
    often = f", {significant(ratio)} times as many" if ratio >= 1.1 else ""
    return (
        f"The records hold the teachers' looks at {held:,.0f} images{rest}. In the loop of every "
        f"trial and run they would have looked at {asked:,.0f}{often}."
    )


def _records(results: Results) -> list[Record]:
    return list((results.get("knowledge") or {}).get("records") or ())


def _held(record: Record) -> float:
    """Return how many looks a record holds: each view of each image."""
    return (number(record.get("views")) or 0.0) * (number(record.get("images")) or 0.0)


def _lessons(results: Results) -> Iterator[tuple[str, str, int]]:
    """Yield teacher, arm and epochs of every trial and run; of an ensemble, each member."""
    members = (results.get("knowledge") or {}).get("ensembles") or {}
    for trial in trials_of(results):
        for teacher in members.get(trial.teacher, (trial.teacher,)):
            yield str(teacher), trial.arm, trial.epochs
    for model in facts.distilled(results):
        epochs = sum(len(run.get("history") or ()) for run in model["runs"])
        for teacher in members.get(model["teacher"], (model["teacher"],)):
            yield str(teacher), model["label"], epochs


def _live(records: list[Record]) -> Iterator[str]:
    """Yield which pairs ran their teacher in every step, and why: arms of one reason together."""
    for record in records:
        reasons: dict[str, list[str]] = {}
        for arm, reason in (record.get("live") or {}).items():
            reasons.setdefault(str(reason), []).append(arm)
        for reason, arms in reasons.items():
            more = f" and {len(arms) - _NAMED} more" if len(arms) > _NAMED else ""
            shown = f"{', '.join(arms[:_NAMED])}{more}"
            yield f"Live: {record['teacher']} runs in every step of {shown}: {reason}."
