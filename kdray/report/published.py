"""Measured numbers beside published ones, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kdray import measure
from kdray.report import explained
from kdray.report.cells import Cell, Column, Table, number
from kdray.report.facts import Model, Results
from kdray.spec.suite import Column as PublishedColumn
from kdray.spec.suite import PublishedTable, Row, Selector, Suite

#: Costs of a model, as its results name them.
COSTS = ("parameters", "macs", "macs_ptflops", "latency_ms", "file_mb")
#: Scores that are not a mean over classes.
WHOLE = ("accuracy", "loss", "ece", "sigmoid_auc")
#: Unit of a column -> how many of it one measured unit makes (latencies are measured in ms).
UNITS = {"": 1.0, "%": 100.0, "k": 1e-3, "M": 1e-6, "G": 1e-9, "ms": 1.0, "s": 1e-3}

LEGEND = (
    "Published | measured. Over seeds: mean ± standard deviation [interval]; one run: its score "
    "[bootstrap interval over the images]*."
)
#: So many of the settings that differ are named.
_NAMED = 4

NOT_RUN, NOT_MEASURED = "not run", "not measured"


def compare(
    suite: Suite, results: Mapping[str | None, Results], split: str | None = None
) -> dict[str, Any]:
    """Return each published number with the measured one, ready for JSON.

    Args:
        suite: The suite.
        results: Results of its experiments, as far as they have run, by name.
        split: Show scores on this split instead of the tables' own.

    Returns:
        ``suite``, ``description``, ``experiments`` (name, job, state), ``tables``, ``figures`` and
        ``counts`` (``cells`` with a published number, how many are ``measured``). A table has
        ``columns`` (title, unit) and ``rows`` of ``cells``: ``published``, ``measured`` (mean,
        std, low, high, n, over; in the column's unit) or null, ``state`` and the ``job``.
    """
    tables = [_table(suite, table, results, split) for table in suite.tables]
    cells = [cell for table in tables for row in table["rows"] for cell in row["cells"]]
    printed = [cell for cell in cells if cell["published"] is not None]
    return {
        "suite": suite.name,
        "description": suite.description,
        "experiments": [
            {
                "name": variant.name,
                "job": suite.job_name(variant.name),
                "state": "finished" if variant.name in results else NOT_RUN,
                "other_settings": list(results.get(variant.name, {}).get("other_settings") or ()),
            }
            for variant in suite.experiments
        ],
        "tables": tables,
        "figures": [_figure(suite, item, results) for item in suite.figures],
        "counts": {
            "cells": len(printed),
            "measured": sum(cell["measured"] is not None for cell in printed),
        },
    }


def published_tables(compared: Mapping[str, Any]) -> list[Table]:
    """Return what ``compare`` returned as tables: published | measured in each cell."""
    return [_as_table(index, table) for index, table in enumerate(compared["tables"])]


def summary(compared: Mapping[str, Any]) -> Iterator[str]:
    """Yield sentences on how much of the published numbers has been measured."""
    counts = compared["counts"]
    if counts["cells"]:
        yield f"{counts['measured']} of {counts['cells']} published numbers are measured."
    missing = [item["name"] for item in compared["experiments"] if item["state"] == NOT_RUN]
    if missing:
        yield f"Not run yet: {', '.join(missing)}."
    for item in compared["experiments"]:
        if item["other_settings"]:
            named = ", ".join(item["other_settings"][:_NAMED])
            more = len(item["other_settings"]) - _NAMED
            rest = f" and {more} more" if more > 0 else ""
            otherwise = "was run with other settings than the file now has"
            yield f"{item['name']} {otherwise}: {named}{rest}."
    for figure in compared["figures"]:
        where = figure["file"] or f"{NOT_RUN} ({figure['job']})"
        yield f"{figure['source']}, {figure['title']}: {where}"


def _table(
    suite: Suite,
    table: PublishedTable,
    results: Mapping[str | None, Results],
    split: str | None,
) -> dict[str, Any]:
    return {
        "title": table.title,
        "source": table.source,
        "columns": [{"title": column.title, "unit": column.unit} for column in table.columns],
        "rows": [
            {
                "title": row.title,
                "cells": [
                    _cell(suite, _joined(row, column, split), column, printed, results)
                    for column, printed in zip(table.columns, row.published, strict=True)
                ],
            }
            for row in table.rows
        ],
        "notes": list(table.notes),
    }


def _joined(row: Row, column: PublishedColumn, split: str | None) -> Selector:
    """Return what a cell selects: what its row says, and for the rest its column."""
    chosen = {
        name: getattr(row if getattr(row, name) != field.default else column, name)
        for name, field in Selector.model_fields.items()
    }
    return Selector.model_validate({**chosen, **({"split": split} if split else {})})


def _cell(
    suite: Suite,
    chosen: Selector,
    column: PublishedColumn,
    printed: float | None,
    results: Mapping[str | None, Results],
) -> dict[str, Any]:
    name = chosen.experiment or suite.experiments[0].name
    found = measured(results[name], chosen) if name in results else None
    state = "measured" if found else (NOT_MEASURED if name in results else NOT_RUN)
    scaled = _scaled(found, UNITS[column.unit]) if found else None
    job = suite.job_name(name)
    return {"published": printed, "measured": scaled, "state": state, "job": job}


def measured(results: Results, chosen: Selector) -> dict[str, Any] | None:
    """Return the number that a selector means, with its interval, or None where there is none.

    Args:
        results: The ``results.json`` of an experiment.
        chosen: Which number.
    """
    metric = chosen.metric or "accuracy"
    explainer, dot, name = metric.partition(".")
    if dot:
        return _of_explanations(results, chosen, explainer, name)
    model = _model(results, chosen)
    if model is None:
        return None
    if metric in COSTS:
        value = number((model.get("cost") or {}).get(metric))
        return None if value is None else _alone(value)
    return _score(model, chosen, metric, float(results.get("confidence") or 0.95))


def _model(results: Results, chosen: Selector) -> Model | None:
    """Return the only row that fits; a student that needs no teacher fits with any."""
    if chosen.role == "teacher":
        wanted = {"role": "teacher", "model": chosen.teacher}
    else:
        wanted = {"role": "student", "model": chosen.student, "method": chosen.method}
    found = [
        model
        for model in results["models"]
        if all(value is None or model.get(key) == value for key, value in wanted.items())
        and (
            chosen.role == "teacher"
            or model.get("teacher") in (None, chosen.teacher)
            or chosen.teacher is None
        )
    ]
    return found[0] if len(found) == 1 else None


def _score(
    model: Model, chosen: Selector, metric: str, confidence: float
) -> dict[str, Any] | None:
    runs = [run["scores"].get(chosen.split) for run in model["runs"]]
    values = [number(_value(run, metric, chosen.of)) if run else None for run in runs]
    if any(value is None for value in values):
        return None
    known = [value for value in values if value is not None]
    if len(known) > 1 and metric != "support":
        return dict(measure.interval(known, confidence))
    summarised = model["summary"].get(chosen.split, {}).get(_name(metric, chosen.of))
    return dict(summarised) if summarised else _alone(known[0])


def _value(scores: Mapping[str, Any], metric: str, of: str | None) -> Any:
    if metric == "support":
        counts = {name: each["support"] for name, each in scores["per_class"].items()}
        return counts.get(of or "", sum(counts.values()) if of in (None, *_MEANS) else None)
    name = _name(metric, of)
    if name in scores:
        return scores[name]
    of_class = scores["per_class"].get(of or "", {})
    return of_class.get(metric)


_MEANS = ("macro", "weighted")


def _name(metric: str, of: str | None) -> str:
    """Return how results call a score: ``auc`` is the macro mean, ``loss`` has none."""
    if metric in WHOLE:
        return metric
    if of not in (None, *_MEANS):
        return f"{metric} of {of}"
    average = of or "macro"
    return "auc" if (average, metric) == ("macro", "auc") else f"{average}_{metric}"


def _of_explanations(
    results: Results, chosen: Selector, explainer: str, name: str
) -> dict[str, Any] | None:
    """Return a score of a model's maps: over its runs where there are several, or over images."""
    model = _model(results, chosen)
    if model is None:
        return None
    key = (model["label"], explainer)
    rows = {(row["label"], row["method"]): row for row in explained.scores(results)}
    alike = {
        (row["label"], row["method"]): row
        for row in reversed(explained.agreement(results))  # of several teachers, the first one
        if chosen.teacher in (None, row["teacher"])
    }
    checked = {(row["label"], row["method"]): row for row in explained.sanity(results)}
    row, near = rows.get(key) or {}, alike.get(key) or {}
    classes = near.get("classes") or {}
    known: Mapping[str, Any] = {
        **(checked.get(key) or {}),
        **(classes.get(chosen.of) or {} if chosen.of else near.get("all") or {}),
        **row,
        **(row.get("measures") or {}),
    }
    found = known.get(name)
    if isinstance(found, Mapping):
        return dict(found.get("seeds") or found)
    value = number(found)
    return None if value is None else _alone(value)


def _alone(value: float) -> dict[str, Any]:
    return {"mean": value, "std": None, "low": None, "high": None, "n": 1, "over": None}


def _scaled(found: Mapping[str, Any], factor: float) -> dict[str, Any]:
    return {
        key: value * factor
        if key in ("mean", "std", "low", "high") and value is not None
        else value
        for key, value in found.items()
    }


def _figure(suite: Suite, figure: Any, results: Mapping[str | None, Results]) -> dict[str, Any]:
    name = figure.experiment or suite.experiments[0].name
    found = (results.get(name) or {}).get("explanations") or {}
    facts = {"title": figure.title, "source": figure.source, "job": suite.job_name(name)}
    return {**facts, "file": found.get("figure")}


def _as_table(index: int, table: Mapping[str, Any]) -> Table:
    digits = [
        _digits([row["cells"][place]["published"] for row in table["rows"]], column["unit"])
        for place, column in enumerate(table["columns"])
    ]
    columns = (
        Column("row", ""),
        *(
            Column(f"column{place}", _heading(column), "published | measured", True, True)
            for place, column in enumerate(table["columns"])
        ),
    )
    rows = tuple(
        (
            Cell(row["title"], row["title"]),
            *(_shown(cell, most) for cell, most in zip(row["cells"], digits, strict=True)),
        )
        for row in table["rows"]
    )
    title = f"{table['source']}: {table['title']}"
    return Table(f"published{index}", title, columns, rows, (LEGEND, *table["notes"]))


def _heading(column: Mapping[str, Any]) -> str:
    return f"{column['title']} ({column['unit']})" if column["unit"] else str(column["title"])


def _shown(cell: Mapping[str, Any], digits: int) -> Cell:
    """Return published | measured, both with the decimals of the column; whole numbers whole."""
    printed = "-" if cell["published"] is None else f"{cell['published']:,.{digits}f}"
    found = cell["measured"]
    if found is None:
        return Cell(f"{printed} | {cell['state']}")
    text = _number(found["mean"], digits)
    over_seeds = found["n"] > 1 and found.get("over") == "seeds"
    if over_seeds and found["std"] is not None:
        text += f" ± {_number(found['std'], digits)}"
    if found["low"] is not None:
        text += f" [{_number(found['low'], digits)}, {_number(found['high'], digits)}]"
        text += "" if over_seeds else "*"
    return Cell(f"{printed} | {text}", found["mean"], found["low"], found["high"])


def _number(value: float, digits: int) -> str:
    """Return a measured number: one decimal more than printed up to two; whole ones whole."""
    more = max(digits, min(digits + 1, 2))
    return f"{value:,.0f}" if value == round(value) and digits == 0 else f"{value:,.{more}f}"


def _digits(values: Iterable[float | None], unit: str) -> int:
    """Return the most decimals that any of the printed values needs; 3 where none is printed."""
    texts = [repr(float(value)) for value in values if value is not None]
    if not texts:
        return 1 if unit == "%" else 3
    return max((len(text.partition(".")[2]) for text in texts if text[-2:] != ".0"), default=0)
