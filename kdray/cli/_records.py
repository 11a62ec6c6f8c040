"""Recordings to come as a table: what each teacher's looks take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdray.cli._output import console, print_table
from kdray.cli._words import clock
from kdray.knowledge.names import in_words

Facts = Mapping[str, Any]


def show_records(records: Mapping[str, Facts]) -> None:
    """Print what the recordings of a plan take, and what is computed live instead.

    Args:
        records: Id of a step -> facts, see ``kdray.run.forecast``.
    """
    if not records:
        return
    rows = [(_name(step), *_row(facts)) for step, facts in records.items()]
    columns = ("record", "views", "images", "size", "columns", "time")
    print_table("", columns, rows)
    if any("seconds_an_image" in facts for facts in records.values()):
        said = "Times: one small batch of each teacher, timed now on this machine's CPU."
        console.print(said, highlight=False)
    if any(facts["images"] is None for facts in records.values()):
        said = "What fits knowledge.budget is known once the data set is prepared."
        console.print(said, highlight=False)
    for step, facts in records.items():
        for arm, why in facts["live"].items():
            text = f"Live, in each step of its training: {arm}: {why} ({_name(step)})."
            console.print(text, highlight=False, markup=False)


def _name(step: str) -> str:
    return step.partition("/")[2].rpartition("-")[0]


def _row(facts: Facts) -> tuple[str, ...]:
    if facts["images"] is None:
        sizes = {**facts["image_bytes"]}
        logits = f"logits {sizes.pop('logits')} B a class"
        listed = ", ".join([logits, *_listed(sizes)])
        pace = f"{1000 * facts['seconds_an_image']:.3g} ms a look"
        return str(facts["views"]), "?", "each look", listed, pace
    listed = ", ".join(_listed(facts["columns"]))
    took = clock(facts["seconds"]) if facts["seconds"] >= 1 else "< 1 s"
    when = f"about {took}" if facts["left"] else "done"
    return str(facts["views"]), str(facts["images"]), in_words(facts["bytes"]), listed, when


def _listed(sizes: Mapping[str, int]) -> list[str]:
    return [f"{name} {in_words(size)}" for name, size in sizes.items()]
