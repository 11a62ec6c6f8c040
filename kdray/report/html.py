"""The report of a job: one HTML file that needs nothing beside itself."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from kdray.report import (
    alike,
    cells,
    charts,
    datasets,
    explained_section,
    facts,
    knowledge,
    published,
    search_section,
    search_tables,
    tables,
    wording,
)
from kdray.report.facts import SCORES, Model, Results
from kdray.store import Store

_SECRET = re.compile(r"((?:secret_key|access_key|session_token)=)[^&\s\"']+")


def write_report(results: Results, store: Store, spec_text: str) -> str:
    """Return the report of a job as HTML, with every picture inside.

    Args:
        results: The job's ``results.json``.
        store: The storage that the results' figures lie in.
        spec_text: The job as YAML, shown under lineage; keys to storage in it are blanked.
    """
    select = results["select"]
    split = facts.main_split(results)
    return _template().render(
        results=results,
        split=split,
        select=SCORES[select],
        headline=wording.headline(results),
        registered=wording.registered(results),
        warnings=wording.warnings(results),
        tiles=list(_tiles(results, split)),
        scores=[tables.score_table(results, name) for name in facts.ordered_splits(results)],
        costs=tables.cost_table(results),
        ratios=tables.ratio_table(results, split) if split else None,
        cost_chart=_markup(charts.score_against_cost(results, split, "cost")) if split else None,
        classes=tables.class_table(results, split) if split else None,
        confusions=list(_confusions(results, split)),
        curves=list(_curves(results)),
        searches=tables.search_table(results),
        search=_search(results),
        records=knowledge.records_table(results),
        explanation=_explanation(results, store),
        dataset=datasets.dataset_table(results),
        leaks=datasets.leak_table(results),
        source=_flat(results["dataset"].get("source") or {}),
        bad=[_line(item) for item in results["dataset"].get("bad") or ()],
        runs=list(_runs(results)),
        seconds=[
            (step, _duration(spent)) for step, spent in (results.get("seconds") or {}).items()
        ],
        lineage=_lineage(results),
        spec_text=_SECRET.sub(r"\1***", spec_text),
    )


def write_suite_report(compared: Mapping[str, Any], store: Store) -> str:
    """Return the report of a suite as HTML, with every picture inside.

    Args:
        compared: The suite's tables, see ``kdray.report.published.compare``.
        store: The storage that its figures lie in.
    """
    figures = [
        {**figure, "picture": _picture(store, figure["file"]) if figure["file"] else None}
        for figure in compared["figures"]
    ]
    return _template("suite.html").render(
        compared=compared,
        sentences=list(published.summary(compared)),
        tables=published.published_tables(compared),
        figures=figures,
    )


@cache
def _template(name: str = "template.html") -> Template:
    environment = Environment(
        loader=PackageLoader("kdray.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _tiles(results: Results, split: str | None) -> Iterator[dict[str, str]]:
    """Yield teacher, student alone and distilled student, as far as there are any."""
    best = facts.best_distilled(results) or facts.best_student(results)
    if best is None or split is None:
        return
    shown: tuple[tuple[str, Model | None], ...] = (
        ("Teacher", facts.teacher_of(results, best)),
        ("Student alone", facts.alone_of(results, best)),
        ("Distilled student", best if best.get("teacher") else None),
    )
    score = facts.main_score(results)
    for role, model in shown:
        if model is None:
            continue
        found = facts.summary(model, split, score)
        value, _, brackets = cells.interval(found).text.partition(" ")
        cost = model.get("cost") or {}
        yield {
            "role": role,
            "label": model["label"],
            "score": SCORES[score],
            "value": value,
            "interval": f"{brackets} over {wording.over(found)}" if brackets else "",
            "cost": f"{cells.large(cost.get('parameters')).text} parameters, "
            f"{cells.measured(cost.get('latency_ms'), 'ms').text}",
        }


def _confusions(results: Results, split: str | None) -> Iterator[dict[str, Any]]:
    """Yield each model's confusion matrix, counts summed over its runs."""
    for model in results["models"]:
        found = [
            matrix
            for run in model["runs"]
            if (matrix := (run.get("scores", {}).get(split) or {}).get("confusion"))
        ]
        if not found:
            continue
        summed = [
            [sum(cell) for cell in zip(*rows, strict=True)] for rows in zip(*found, strict=True)
        ]
        rows = [
            [(count, count / total if (total := sum(row)) else 0.0) for count in row]
            for row in summed
        ]
        yield {"label": model["label"], "runs": len(found), "rows": rows}


def _curves(results: Results) -> Iterator[tuple[str, Markup]]:
    for index, model in enumerate(results["models"]):
        drawn = charts.learning_curves(model, results["select"], f"curve{index}")
        if drawn is not None:
            yield model["label"], Markup(drawn)


def _search(results: Results) -> dict[str, Any] | None:
    """Return what the section on the search shows; None without a search."""
    if not results.get("searches"):
        return None
    return {
        "sentences": search_section.sentences(results),
        "budget": search_section.spent(results),
        "matrices": search_tables.pair_matrices(results),
        "tested": SCORES[facts.main_score(results)],
        "note": search_tables.pairs_note(),
        "pareto": search_tables.pareto_table(results),
        "blocks": [
            {"title": block.title, "svg": _markup(block.svg), "text": block.text}
            for block in search_section.blocks(results)
        ],
    }


def _markup(svg: str | None) -> Markup | None:
    return None if svg is None else Markup(svg)


def _explanation(results: Results, store: Store) -> dict[str, Any] | None:
    """Return what the section on explanations shows; None without any."""
    if not results.get("explanations"):
        return None
    made = explained_section.tables(results)
    return {
        "sentences": list(explained_section.sentences(results)),
        "shown": explained_section.shown(results),
        "figures": [
            {
                "title": figure.title,
                "alt": figure.alt,
                "file": figure.file,
                "picture": _picture(store, figure.file),
            }
            for figure in explained_section.figures(results)
        ],
        "charts": [
            {"title": chart.title, "svg": Markup(chart.svg), "text": chart.text}
            for chart in explained_section.charts(results)
        ],
        "tables": [alike.compact(table) for table in made],
        "by_class": alike.compact(alike.agreement_by_class_table(results)),
        "legend": explained_section.legend(made),
        "notes": results["explanations"].get("notes") or [],
    }


def _picture(store: Store, name: str) -> str | None:
    folder, _, file = name.rpartition("/")
    data = store.read_in(folder, file)
    return None if data is None else f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _runs(results: Results) -> Iterator[dict[str, str]]:
    for model in results["models"]:
        settings = {**(model.get("params") or {}), "learning_rate": model.get("learning_rate")}
        for run in () if model.get("of") else model["runs"]:
            yield {
                "label": model["label"],
                "seed": str(run["seed"]),
                "key": run["key"],
                "path": run.get("path", ""),
                "best_epoch": str(run.get("best_epoch", "")),
                "settings": cells.settings(settings).text,
            }


def _lineage(results: Results) -> list[tuple[str, str]]:
    dataset = results["dataset"]
    known = (
        ("kdray", results["version"]),
        ("code", results.get("code")),
        ("data hash", dataset.get("hash")),
        ("prepared data, key", dataset.get("key")),
    )
    return [(name, str(value)) for name, value in known if value]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return the facts of a nested mapping as (words, value); long lists are counted."""
    rows: list[tuple[str, str]] = []
    for key, value in tree.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            rows += _flat(value, f"{name}, ")
        elif isinstance(value, list | tuple):
            rows.append((name, ", ".join(map(str, value)) if len(value) <= 8 else f"{len(value)}"))
        else:
            rows.append((name, str(value)))
    return rows


def _line(item: object) -> str:
    if isinstance(item, Mapping):
        return ": ".join(str(value) for value in item.values())
    return str(item)


def _duration(seconds: object) -> str:
    found = cells.number(seconds)
    if found is None:
        return cells.MISSING
    if found < 60:
        return f"{found:.1f} s"
    minutes, rest = divmod(round(found), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
