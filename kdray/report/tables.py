"""Tables of a job's results: pure functions from ``results.json`` to rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kdray.report import cells, facts, wording
from kdray.report.cells import Cell, Column, Table
from kdray.report.facts import SCORES, Model, Results

_SCORE_KEYS = ("label", "over", "accuracy", "macro_f1", "auc", "ece", "difference", "p")
_COST_KEYS = (
    *("label", "teacher", "method", "parameters", "macs", "macs_ptflops"),
    *("latency_ms", "file_mb"),
)
#: Scores that only programs are shown.
_FURTHER = (
    *("macro_precision", "macro_recall", "weighted_precision", "weighted_recall"),
    *("weighted_f1", "weighted_auc"),
)


def long_table(results: Results, splits: Sequence[str]) -> Table:
    """Return the main tables of several splits as one, for programs."""
    made = [main_table(results, split) for split in splits]
    rows = tuple(row for table in made for row in table.rows)
    notes = tuple(dict.fromkeys(note for table in made for note in table.notes))
    return replace(made[0], title="Models", rows=rows, notes=notes)


def score_table(results: Results, split: str) -> Table:
    """Return the scores of the main table, for a page or a screen."""
    full = main_table(results, split)
    return replace(cells.only(full, _SCORE_KEYS), notes=full.notes[:-1])


def cost_table(results: Results) -> Table:
    """Return the costs of the main table; they are the same for every split."""
    full = main_table(results, facts.main_split(results) or "")
    return replace(
        cells.only(full, _COST_KEYS), name="costs", title="Costs", notes=full.notes[-1:]
    )


def main_table(results: Results, split: str) -> Table:
    """Return one row a model: scores with intervals, gain over the student alone, costs."""
    score = facts.main_score(results)
    columns = (
        Column("label", "Model", "How the job calls it"),
        Column("teacher", "Teacher", "Whom it learned from"),
        Column("method", "Method", "How it learned; none: from the labels alone"),
        Column("split", "Split", "The images that were scored"),
        Column("over", "Interval over", "What the brackets of this row are over"),
        *(_score_column(name, results) for name in ("accuracy", "macro_f1", "auc")),
        Column("ece", "ECE", "Expected calibration error, 15 bins; lower is better", True, True),
        Column(
            "difference",
            f"{_title(score)} minus alone",
            "Paired difference to the same student without a teacher",
            True,
            True,
        ),
        Column("p", "p", "Two-sided p value of the difference, uncorrected", True),
        Column(
            "difference_images",
            "The same, over images",
            "Paired bootstrap over the images of the split, mean over the runs",
            True,
            True,
        ),
        Column("loss", "Cross-entropy", "Mean over the images, nats; lower is better", True, True),
        *(_score_column(name, results) for name in _FURTHER),
        Column("parameters", "Parameters", "Numbers that make up the network", True),
        Column("macs", "MACs", "Multiply-accumulate operations for one image", True),
        Column(
            "macs_ptflops",
            "MACs (ptflops)",
            "As the library ptflops counts, which papers "
            "use: norms, activations and pooling too, fused attention not",
            True,
        ),
        Column("latency_ms", "Latency", _latency_meaning(results), True),
        Column("file_mb", "File", "Size of the weights on disk, 1 MB = 10^6 bytes", True),
    )
    notes = (
        wording.split_note(results, split),
        *wording.interval_notes(results, split),
        wording.difference_note(results, split),
        f"Latency: {_latency_meaning(results)}.",
    )
    rows = tuple(_main_row(model, split, score) for model in results["models"])
    title = f"Models on {split}"
    return Table("models", title, columns, rows, tuple(note for note in notes if note))


def class_table(results: Results, split: str) -> Table:
    """Return one row a model and class: precision, recall, F1 and AUC, means over the runs."""
    columns = (
        Column("label", "Model"),
        Column("class", "Class"),
        Column("precision", "Precision", "Of those called this class, the share that is", True),
        Column("recall", "Recall", "Of this class's images, the share that was found", True),
        Column("f1", "F1", "Harmonic mean of precision and recall", True),
        Column("auc", "AUC", "Area under the ROC curve, this class against the rest", True),
        Column("support", "Images", "Images of this class in the split", True),
    )
    rows = tuple(
        row
        for model in results["models"]
        for row in (
            *(
                _class_row(model, split, name)
                for name in results["dataset"]["classes"]
                if any(_per_class(run, split, name) for run in model["runs"])
            ),
            _mean_row(model, split, "macro"),
            _mean_row(model, split, "weighted"),
        )
    )
    note = "Means over the runs of each model. Mean: over the classes; weighted: by their images."
    return Table("classes", f"Classes on {split}", columns, rows, (note,))


def search_table(results: Results) -> Table:
    """Return one row a search: its trials, and the best settings it found."""
    columns = (
        Column("label", "Search"),
        Column("select", "Score", "The validation score that was searched for"),
        Column("trials", "Trials", "All trials", True),
        Column("pruned", "Stopped early", "Trials that were stopped before their end", True),
        Column("failed", "Failed", "Trials that ended with an error", True),
        Column("score", "Best", "Best validation score of a trial", True),
        Column("settings", "Best settings"),
    )
    note = (
        "Scores of a search are the best of many on the validation split: they choose settings, "
        "and are no estimate for unseen images."
    )
    rows = tuple(_search_row(search) for search in results.get("searches") or ())
    return Table("searches", "Searches", columns, rows, (note,))


def ratio_table(results: Results, split: str) -> Table:
    """Return one row a distilled student: what it costs and loses against its teacher."""
    score = facts.main_score(results)
    columns = (
        Column("label", "Student"),
        Column("teacher", "Teacher"),
        Column("parameters", "Parameters", "Teacher's over student's; above 1: smaller", True),
        Column("macs", "MACs", "Teacher's over student's; above 1: less work", True),
        Column("latency", "Latency", "Teacher's over student's; above 1: faster", True),
        Column("file", "File", "Teacher's over student's; above 1: smaller", True),
        Column("gap", f"{_title(score)} minus teacher's", "Difference of the means", True),
    )
    rows = tuple(
        _ratio_row(teacher, model, split, score)
        for model in facts.distilled(results)
        if (teacher := facts.teacher_of(results, model)) is not None
    )
    note = (
        "Costs: the teacher's divided by the student's. The last column is a difference of means "
        "without an interval, since a teacher is trained once."
    )
    return Table("ratios", "Students against their teachers", columns, rows, (note,))


def _score_column(name: str, results: Results) -> Column:
    meaning = {
        "accuracy": "Share of images with the right class",
        "macro_f1": "F1 of each class, then the plain mean over the classes",
        "auc": "Area under the ROC curve, one class against the rest, mean over the classes",
    }.get(name, _MEANS.get(name.partition("_")[0], ""))
    level = f"{100 * results['confidence']:g}%"
    return Column(name, _title(name), f"{meaning}; brackets: {level} interval", True, True)


_MEANS = {
    "macro": "Plain mean over the classes",
    "weighted": "Mean over the classes, weighted by their images",
}


def _title(score: str) -> str:
    name = SCORES.get(score, score.replace("_", " "))
    return name[0].upper() + name[1:]


def _over_images(found: Mapping[str, Any] | None) -> Cell:
    if not found:
        return cells.word(None)
    return cells.interval(
        found if found.get("over") == "images" else found.get("bootstrap"), sign=True
    )


def _latency_meaning(results: Results) -> str:
    costs = [model.get("cost") or {} for model in results["models"]]
    threads = sorted({int(cost["threads"]) for cost in costs if cost.get("threads")})
    on = f" on {', '.join(map(str, threads))} CPU thread{'s' if threads != [1] else ''}"
    return f"median time for one image{on if threads else ''}, on the machine that ran the job"


def _main_row(model: Model, split: str, score: str) -> tuple[Cell, ...]:
    cost = model.get("cost") or {}
    found = facts.against_alone(model, split, score)
    return (
        cells.word(model["label"]),
        cells.word(model.get("teacher")),
        cells.word(model.get("method")),
        cells.word(split),
        cells.word(wording.over(facts.summary(model, split, score))),
        *(
            cells.interval(facts.summary(model, split, name))
            for name in ("accuracy", "macro_f1", "auc")
        ),
        _mean_only(facts.summary(model, split, "ece")),
        cells.interval(found, sign=True) if found else cells.word(None),
        cells.p_value(found.get("p")) if found else cells.word(None),
        _over_images(found),
        *(cells.interval(facts.summary(model, split, name)) for name in ("loss", *_FURTHER)),
        cells.large(cost.get("parameters")),
        cells.large(cost.get("macs")),
        cells.large(cost.get("macs_ptflops")),
        cells.measured(cost.get("latency_ms"), "ms"),
        cells.measured(cost.get("file_mb"), "MB"),
    )


def _mean_only(found: Mapping[str, Any] | None) -> Cell:
    """Show the mean, and keep the interval for CSV."""
    full = cells.interval(found)
    return Cell(full.text.partition(" [")[0], full.value, full.low, full.high)


def _per_class(run: Mapping[str, Any], split: str, name: str) -> Mapping[str, Any] | None:
    scores = run.get("scores", {}).get(split) or {}
    found: Mapping[str, Any] | None = scores.get("per_class", {}).get(name)
    return found


def _class_row(model: Model, split: str, name: str) -> tuple[Cell, ...]:
    found = [entry for run in model["runs"] if (entry := _per_class(run, split, name))]
    return (
        cells.word(model["label"]),
        cells.word(name),
        *(
            cells.fixed(_mean([e.get(key) for e in found]))
            for key in ("precision", "recall", "f1", "auc")
        ),
        cells.count(found[0].get("support")),
    )


def _mean_row(model: Model, split: str, average: str) -> tuple[Cell, ...]:
    """Return the row below a model's classes: the mean of each score over them."""
    found = [run["scores"][split] for run in model["runs"] if split in run.get("scores", {})]
    names = [
        "auc" if (average, key) == ("macro", "auc") else f"{average}_{key}"
        for key in ("precision", "recall", "f1", "auc")
    ]
    support = [
        each.get("support") or 0 for each in (found[0]["per_class"] if found else {}).values()
    ]
    return (
        cells.word(model["label"]),
        cells.word("mean" if average == "macro" else "weighted mean"),
        *(cells.fixed(_mean([scores.get(name) for scores in found])) for name in names),
        cells.count(sum(support)),
    )


def _mean(values: Sequence[Any]) -> float | None:
    known = [value for value in map(cells.number, values) if value is not None]
    return sum(known) / len(known) if known else None


def _search_row(search: Mapping[str, Any]) -> tuple[Cell, ...]:
    states = [trial["state"] for trial in search["trials"]]
    best = search.get("best") or {}
    return (
        cells.word(search["label"]),
        cells.word(SCORES.get(search["select"], search["select"])),
        cells.count(len(states)),
        cells.count(states.count("pruned")),
        cells.count(states.count("failed")),
        cells.fixed(best.get("score")),
        cells.settings(best.get("params") or {}),
    )


def _ratio_row(teacher: Model, model: Model, split: str, score: str) -> tuple[Cell, ...]:
    ratios = wording.cost_ratios(teacher, model)
    ours, theirs = (
        cells.number((facts.summary(one, split, score) or {}).get("mean"))
        for one in (model, teacher)
    )
    gap = None if ours is None or theirs is None else ours - theirs
    return (
        cells.word(model["label"]),
        cells.word(teacher["label"]),
        *(cells.times(ratio) for ratio in ratios.values()),
        cells.interval({"mean": gap}, sign=True),
    )
