"""What the report says and shows of explanations: sentences, pictures, charts, tables, legend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kdray import measure
from kdray.report import alike, cells, explained, explained_charts, facts, maps
from kdray.report.cells import Table
from kdray.report.explained import FAITHFULNESS, RANDOM
from kdray.report.facts import Results


@dataclass(frozen=True)
class Figure:
    """A stored picture.

    Args:
        file: Its path in the storage.
        title: Heading.
        alt: What it shows, for readers who cannot see it.
    """

    file: str
    title: str
    alt: str


@dataclass(frozen=True)
class Chart:
    """A drawing with the sentence that says how to read it."""

    title: str
    svg: str
    text: str


def figures(results: Results) -> Iterator[Figure]:
    """Yield the stored pictures; one of results that only knew the first kind."""
    found = explained.explanations(results)
    known = found.get("figures")
    if known is None and found.get("figure"):
        known = [{"file": found["figure"], "title": "", "kind": "side_by_side"}]
    for item in known or ():
        inside = "/" in item["file"]
        file = item["file"] if inside else f"{found['path']}/{item['file']}"
        yield Figure(file, item["title"], _alt(results, item["kind"], item["title"]))


def shown(results: Results) -> str:
    """Return which methods, models and how many images the first picture has."""
    found = explained.explanations(results)
    models = found.get("models") or [found.get("teacher"), found.get("student")]
    names = " and ".join(model for model in models if model)
    return f"{', '.join(found['methods'])} of {names} on {found['images']} images"


def sentences(results: Results) -> Iterator[str]:
    """Yield what the scores say, the word of caution first."""
    yield maps.CAUTION
    found = explained.explanations(results)
    if found and "scores" not in found:
        yield (
            "These explanations were not scored as this version of kdray does: run the job again "
            "to have its tables. What is trained already is not trained again."
        )
    elif found and not found["scores"]:
        yield "The job asked for no scores of explanations (explain.scored: 0)."
    yield from _agreements(results)
    yield from _failures(results)
    yield from _no_better(results)


def charts(results: Results) -> list[Chart]:
    """Return the drawings that the results allow."""
    level = f"{100 * results['confidence']:g}%"
    made = (
        (
            "Student and teacher",
            explained_charts.agreement_dots(results, "alike"),
            f"Dots: mean over the images; lines: {level} interval. Upright tick: the same for "
            "maps of different images. What does not lie to the right of its tick is chance.",
        ),
        (
            "What the answer hangs on",
            explained_charts.faithfulness_dots(results, "faithful"),
            f"Dots: mean over the images; lines: {level} interval. Upright tick: smooth random "
            "maps of the same model.",
        ),
        (
            "Maps as the weights are randomised",
            explained_charts.randomisation_curves(results, "randomised"),
            "From the head down, ever more layers have random weights. A line that stays high is "
            "of maps that do not show what was learned; dashed: random pairs of maps.",
        ),
    )
    labels = {row["label"] for row in explained.scores(results) if row["method"] != RANDOM}
    most = explained_charts.MOST
    more = f" {most} of {len(labels)} models; all are in the tables." if len(labels) > most else ""
    return [Chart(title, svg, f"{text}{more}") for title, svg, text in made if svg]


def tables(results: Results) -> list[Table]:
    """Return the tables that have rows, those that few read left out."""
    made = (
        alike.agreement_table(results),
        alike.sanity_table(results),
        maps.faithfulness_table(results),
        maps.fidelity_table(results),
        maps.localisation_table(results),
        maps.cost_table(results),
    )
    return [table for table in made if table.rows]


def legend(made: Sequence[Table]) -> list[tuple[str, str, str]]:
    """Return title, meaning and source of every score in the tables."""
    keys = dict.fromkeys(column.key for table in made for column in table.columns)
    return [
        (measure.DEFINITIONS[key].title, explained.meaning(key), measure.DEFINITIONS[key].source)
        for key in keys
        if key in measure.DEFINITIONS
    ]


def _alt(results: Results, kind: str, title: str) -> str:
    if kind == "side_by_side":
        return f"Maps by {shown(results)}".replace(" on ", " for ")
    models = explained.explanations(results).get("models") or ()
    return f"{title}: {' and '.join(models)}"


def _agreements(results: Results) -> Iterator[str]:
    """Yield for each method how the best student's maps agree, and how without a teacher."""
    best = facts.best_distilled(results)
    alone = facts.alone_of(results, best) if best else None
    rows = {
        (row["label"], row["method"], row["teacher"]): row for row in explained.agreement(results)
    }
    for (label, method, teacher), row in rows.items():
        if best is None or label != best["label"]:
            continue
        other = rows.get((alone["label"], method, teacher)) if alone else None
        without = (
            f"; those of the same student without a teacher with {_alike(other)}" if other else ""
        )
        yield (
            f"By {method}, the maps of {label} and of {teacher} correlate with "
            f"{_alike(row)}{without}."
        )


def _alike(row: explained.Row) -> str:
    chance = cells.fixed(explained.mean(row["all"].get("chance_pearson"))).text
    return f"{cells.interval(row['all'].get('pearson')).text} (by chance {chance})"


def _failures(results: Results) -> Iterator[str]:
    for method, labels in _grouped(
        (row["method"], row["label"])
        for row in explained.sanity(results)
        if row.get("verdict") == "failed"
    ):
        yield (
            f"Sanity check failed by {method} of {labels}: with random weights the maps stay more "
            "alike than random pairs of maps, so they hardly show what was learned."
        )


def _no_better(results: Results) -> Iterator[str]:
    rows = explained.scores(results)
    for method, labels in _grouped(
        (row["method"], row["label"])
        for row in rows
        if row["method"] != RANDOM and not any(_known := _beaten(results, row)) and _known
    ):
        yield (
            f"No better than random maps in any score of faithfulness: {method} of {labels}, as "
            "far as the intervals tell."
        )


def _beaten(results: Results, row: explained.Row) -> list[bool]:
    rows = explained.scores(results)
    found = (
        explained.beats(explained.measured(row, name), explained.baseline(rows, row, name), name)
        for name in FAITHFULNESS
    )
    return [item for item in found if item is not None]


def _grouped(pairs: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    for method, label in pairs:
        found.setdefault(method, []).append(label)
    for method, labels in found.items():
        yield method, ", ".join(labels)
