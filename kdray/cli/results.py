"""``kdray results``: the tables of a finished job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table as RichTable

from kdray.cli._jobs import AnyJob, StorageUri, To, with_results
from kdray.cli._output import Json, console, print_json
from kdray.cli._results import find_results, find_suite, split_of
from kdray.errors import JobError

if TYPE_CHECKING:
    from kdray.report.cells import Cell, Table
    from kdray.spec import Suite
    from kdray.store import Store

#: Table -> rows; with more it is left to the report and to `--json`.
_ROOM = {"searches": 12, "classes": 48, "agreement_by_class": 12}

#: Columns of a screen with room for second intervals; reports and JSON always have them.
_WIDE = 160


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def results(  # noqa: PLR0913 - one argument for each option
        job: AnyJob,
        to: To = None,
        storage: StorageUri = None,
        split: Annotated[
            str | None,
            typer.Option(help="Show the scores on this split alone.", show_default="all"),
        ] = None,
        as_json: Json = False,
        as_csv: Annotated[bool, typer.Option("--csv", help="Print the models as CSV.")] = False,
        as_markdown: Annotated[
            bool, typer.Option("--markdown", help="Print the tables as Markdown.")
        ] = False,
    ) -> None:
        """Show what a job found out: scores with intervals, costs, searches, data.

        Of a suite: each published number beside the measured one, and which have not been run.
        `kdray results jobs/quickstart.yaml`, `kdray results quickstart --csv > models.csv`
        """
        if as_json + as_csv + as_markdown > 1:
            raise JobError("--json, --csv, --markdown", "exclude each other.", "Give one of them.")
        job, storage = with_results(job, to, storage)
        suite = find_suite(job, storage)
        if suite is not None:
            _suite(*suite, split, as_json=as_json, as_markdown=as_markdown, as_csv=as_csv)
            return
        found = find_results(job, storage)
        chosen = split_of(found.results, split)
        if as_json:
            _json(found.results, chosen, f"{found.store.uri}/jobs/{found.job}/results.json")
        elif as_csv:
            _csv(found.results, chosen)
        elif as_markdown:
            _markdown(found.results, chosen)
        else:
            show(found.results, chosen, everything=True)


def show(
    results: Mapping[str, Any], split: str | None = None, *, everything: bool = False
) -> None:
    """Print a job's tables, its warnings and, last, what it found.

    Args:
        results: The job's ``results.json``.
        split: Show the scores on this split alone; None: on every split.
        everything: Also print classes, searches and data.
    """
    from kdray.report import alike, wording  # slow: jinja2

    told: set[str] = set()
    made = [alike.compact(t) for t in _tables(results, split, everything=everything)]
    for table in filter(_fits, made):
        console.print(_drawn(table))
        for note in table.notes:
            if note not in told:
                console.print(escape(note), style="dim", highlight=False)
        told.update(table.notes)
        console.print()
    left = [f"{table.title} ({len(table.rows)} rows)" for table in made if not _fits(table)]
    if left:
        text = f"Left to the report and to --json: {', '.join(left)}."
        console.print(escape(text), style="dim", highlight=False)
    if everything:
        _say_explained(results)
        _say_registered(results)
    for warning in wording.warnings(results, split):
        console.print(f"[yellow]note[/yellow] {escape(warning)}", highlight=False)
    console.print()
    for sentence in wording.headline(results):
        console.print(escape(sentence), highlight=False)


def _say_registered(results: Mapping[str, Any]) -> None:
    from kdray.report import wording

    sentence = wording.registered(results)
    if sentence:
        console.print(escape(f"Registered: {sentence}"), highlight=False)


def _say_explained(results: Mapping[str, Any]) -> None:
    from kdray.report import explained_section

    for sentence in explained_section.sentences(results) if results.get("explanations") else ():
        console.print(escape(sentence), highlight=False)


def show_suite(compared: Mapping[str, Any]) -> None:
    """Print a suite's published tables beside what is measured, and what has not been run."""
    from kdray.report import published

    for table in published.published_tables(compared):
        console.print(_drawn(table))
        for note in table.notes:
            console.print(escape(note), style="dim", highlight=False)
        console.print()
    for sentence in published.summary(compared):
        console.print(escape(sentence), highlight=False)


def _suite(
    suite: Suite,
    store: Store,
    split: str | None,
    *,
    as_json: bool,
    as_markdown: bool,
    as_csv: bool,
) -> None:
    from kdray.report import published, text
    from kdray.run.job import results_of

    found = results_of(suite, store)
    for results in found.values():
        split_of(results, split)
    compared = published.compare(suite, found, split)
    if as_json:
        print_json(compared)
    elif as_markdown:
        made = published.published_tables(compared)
        typer.echo("\n".join(text.markdown(table) for table in made), nl=False)
    elif as_csv:
        made = published.published_tables(compared)
        typer.echo("\n".join(text.to_csv(table) for table in made), nl=False)
    else:
        show_suite(compared)


def _tables(
    results: Mapping[str, Any], split: str | None, *, everything: bool = True
) -> list[Table]:
    """Return the tables to show, the most important ones last."""
    from kdray.report import (
        alike,
        datasets,
        explained_section,
        facts,
        knowledge,
        search_tables,
        tables,
    )

    splits = [split] if split else facts.ordered_splits(results)
    main = split or facts.main_split(results)
    made: list[Table] = []
    if everything:
        made += [datasets.dataset_table(results), datasets.leak_table(results)]
        made += [alike.agreement_by_class_table(results)]
        made += reversed(explained_section.tables(results))
        made += [knowledge.records_table(results), tables.search_table(results)]
        made += [search_tables.pareto_table(results), search_tables.pairs_table(results)]
        made += [tables.class_table(results, main)] if main else []
    made.append(tables.cost_table(results))
    if main:
        made.append(tables.ratio_table(results, main))
    made += [tables.score_table(results, name) for name in reversed(splits)]
    return [table for table in made if table.rows]


def _fits(table: Table) -> bool:
    """Return whether a screen has room for a table."""
    return len(table.rows) <= _ROOM.get(table.name, len(table.rows))


def _drawn(table: Table) -> RichTable:
    """Return a table that breaks its cells at spaces and never cuts a word."""
    drawn = RichTable(
        title=escape(table.title),
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    for index, column in enumerate(table.columns):
        texts = [column.title, *(row[index].text for row in table.rows)]
        longest = max(len(word) for text in texts for word in text.split())
        justify: JustifyMethod = "right" if column.numeric else "left"
        drawn.add_column(
            escape(column.title), justify=justify, overflow="fold", min_width=min(longest, 20)
        )
    for row in table.rows:
        drawn.add_row(*(_shown(cell) for cell in row))
    return drawn


def _shown(cell: Cell) -> str:
    """Return a cell for the screen: the best value bold, seeds below where there is room."""
    from kdray.report.cells import over_seeds

    text = escape(cell.text)
    seeds = over_seeds(cell) if console.width >= _WIDE else ""
    return (f"[bold]{text}[/bold]" if cell.best else text) + (
        f"\n{escape(seeds)}" if seeds else ""
    )


def _json(results: Mapping[str, Any], split: str | None, file: str) -> None:
    from kdray.report import text, wording

    made = _tables(results, split)
    print_json(
        {
            "job": results["job"],
            "file": file,
            "headline": list(wording.headline(results)),
            "warnings": list(wording.warnings(results, split)),
            "promoted": results.get("promoted"),
            "search": results.get("search"),
            "knowledge": results.get("knowledge"),
            "explanations": _explained(results),
            "models": text.to_dict(_models(results, split)),
            **{table.name: text.to_dict(table) for table in made if table.name != "models"},
        }
    )


def _explained(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return of the explanations what their tables do not hold."""
    from kdray.report import explained_section

    found = results.get("explanations")
    if not found:
        return None
    facts = {name: found.get(name) for name in ("path", "figures", "scored", "notes")}
    return {
        **facts,
        "sentences": list(explained_section.sentences(results)),
        "randomised": found.get("sanity") or [],
    }


def _csv(results: Mapping[str, Any], split: str | None) -> None:
    from kdray.report import text

    typer.echo(text.to_csv(_models(results, split)), nl=False)


def _markdown(results: Mapping[str, Any], split: str | None) -> None:
    from kdray.report import alike, text

    made = [alike.compact(table) for table in reversed(_tables(results, split))]
    typer.echo("\n".join(text.markdown(table) for table in made), nl=False)


def _models(results: Mapping[str, Any], split: str | None) -> Table:
    from kdray.report import facts, tables

    return tables.long_table(results, [split] if split else facts.ordered_splits(results))
