"""The papers' tables and figures as jobs: every printed number is there, and can be measured."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kdray import parts
from kdray.plan import Arm, Plan, experiments_of, make_plan, read_job
from kdray.report import compare
from kdray.spec import Experiment, Suite
from tests.jobs.printed import jobs, printed

FOLDER = Path(__file__).resolve().parents[2] / "jobs" / "papers"
FILES = sorted(FOLDER.glob("*.yaml"))
COSTS = ("parameters", "macs", "macs_ptflops", "latency_ms", "file_mb")
OF_CLASS = ("precision", "recall", "f1", "auc", "support")
WHOLE = (
    *("accuracy", "loss", "auc", "sigmoid_auc"),
    *(f"{mean}_{score}" for mean in ("macro", "weighted") for score in OF_CLASS),
)
FAITHFULNESS = ("met_ms", "retention", "label_agreement")
ONE = {"std": None, "low": None, "high": None, "n": 1, "over": "images"}

#: Title of a figure -> its experiment.
FIGURES = {
    "Score-CAM of teacher and student, histopathology": "lc25000",
    "Score-CAM of teacher and student, chest X-rays": "covid",
    "Grad-CAM of ResNet101 and of GhostNet taught by it": "taught",
    "Grad-CAM of GhostNet alone": "alone",
    "HAM10000: teacher and HDKD": "ham10000-hdkd",
    "HAM10000: student alone": "ham10000-student",
    "Brain Tumor: teacher and HDKD": "brain-tumor-hdkd",
    "Brain Tumor: student alone": "brain-tumor-student",
}
#: Cells of tables, and which number of which experiment and model each has to show.
with (Path(__file__).parent / "cells.csv").open(encoding="utf-8", newline="") as _file:
    CELLS = tuple(csv.DictReader(_file))
each_job = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@cache
def suite_of(file: Path) -> Suite:
    """Return a job as a user without any environment variable reads it; it is checked whole."""
    job = read_job(file, env={})
    assert isinstance(job, Suite)
    return job


def plans(file: Path) -> Iterator[tuple[str, Plan]]:
    suite = suite_of(file)
    for variant, job in zip(suite.experiments, experiments_of(suite), strict=True):
        yield variant.name, make_plan(job, fingerprint=job.data.source.name)


def test_every_table_and_figure_has_its_file() -> None:
    assert {file.stem for file in FILES} == jobs()


@each_job
def test_a_job_is_called_as_its_file(file: Path) -> None:
    assert suite_of(file).name == file.stem


@each_job
def test_all_printed_numbers_are_in_their_places(file: Path) -> None:
    found = [{row.title: row.published for row in table.rows} for table in suite_of(file).tables]
    assert found == printed(file.stem)
    assert [len(table.rows) for table in suite_of(file).tables] == [len(rows) for rows in found]


@each_job
def test_every_cell_finds_its_number_once_all_has_run(file: Path) -> None:
    compared = compared_of(file)
    cells = [
        cell for table in compared["tables"] for row in table["rows"] for cell in row["cells"]
    ]
    assert [cell for cell in cells if cell["measured"] is None] == []
    assert all(figure["file"] for figure in compared["figures"])


@each_job
def test_no_number_stands_beside_two_different_printed_ones(file: Path) -> None:
    beside: dict[float, set[float]] = {}
    for table in compared_of(file)["tables"]:
        for cell in (cell for row in table["rows"] for cell in row["cells"]):
            if cell["published"] is not None:
                beside.setdefault(cell["measured"]["mean"], set()).add(cell["published"])
    assert {key: found for key, found in beside.items() if len(found) > 1} == {}


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: "-".join(list(cell.values())[:4]))
def test_a_cell_shows_the_number_that_its_row_and_column_say(cell: dict[str, str]) -> None:
    table = compared_of(FOLDER / f"{cell['job']}.yaml")["tables"][int(cell["table"])]
    titles = [item["title"] for item in table["columns"]]
    shown = {item["title"]: item["cells"] for item in table["rows"]}
    found = shown[cell["row"]][titles.index(cell["column"])]["measured"]["mean"]
    wanted = unique(cell["experiment"], cell["model"], cell["measure"])
    assert found == pytest.approx(float(cell["factor"]) * wanted, rel=1e-9)


def test_each_table_has_a_cell_that_is_looked_at() -> None:
    tables = {
        (file.stem, str(index)) for file in FILES for index in range(len(printed(file.stem)))
    }
    assert {(cell["job"], cell["table"]) for cell in CELLS} == tables


@pytest.mark.parametrize(("job", "classes"), [("hdkd-table-6", 7), ("hdkd-table-7", 4)])
def test_the_number_of_images_of_all_classes_is_their_sum(job: str, classes: int) -> None:
    rows = compared_of(FOLDER / f"{job}.yaml")["tables"][0]["rows"]
    support = [row["cells"][-1]["measured"]["mean"] for row in rows]
    assert support[classes:] == [pytest.approx(sum(support[:classes]))] * 2


def test_figures_are_those_of_their_experiments() -> None:
    found = {
        figure["title"]: figure["file"]
        for name in ("xkd-figure-2", "dfkd-figure-2", "hdkd-figure-5")
        for figure in compared_of(FOLDER / f"{name}.yaml")["figures"]
    }
    assert found == {title: f"{name}.png" for title, name in FIGURES.items()}


@each_job
def test_nothing_is_chosen_on_the_test_split(file: Path) -> None:
    for job in experiments_of(suite_of(file)):
        assert job.train.select == "accuracy"  # of the validation split, as every `select`
        assert job.data.splits.val > 0
        assert job.data.splits.use_given
        assert job.search.trials == 0


@each_job
def test_students_start_and_teachers_are_trained_as_the_papers_say(file: Path) -> None:
    paper = file.stem.partition("-")[0]
    for job in experiments_of(suite_of(file)):
        weights = {model.weights for model in (*job.teachers, *job.students)}
        teacher, student = job.train.teacher, job.train.student
        assert (teacher.batch_size, student.batch_size) == (32, 32)
        if paper == "hdkd":
            assert weights == {"none"}
            assert (teacher.optimizer, teacher.learning_rate) == ("adam", 1e-3)
            assert (student.optimizer, student.learning_rate) == ("adamw", 5e-5)
            assert (student.min_learning_rate, student.warmup_epochs) == (2e-5, 5)
            assert student.weight_decay == 0.1
        if paper == "xkd":
            assert (teacher.epochs, student.epochs, teacher.loss) == (10, 10, "bce")
            assert {teacher.optimizer, student.optimizer} == {"adam"}
        if paper == "dfkd":
            assert weights == {"imagenet"}


@each_job
def test_methods_have_the_settings_that_the_papers_print(file: Path) -> None:
    printed: dict[str, dict[str, Any]] = {
        "fbce_mse": {"alpha": 0.5},
        "dfkd": {"alpha": 0.4, "beta": 0.3, "T": 6.0},
        "hdkd": {"alpha": 0.5, "T": 1.0, "feature_weight": 10.0, "exponent": 1.0},
    }
    for job in experiments_of(suite_of(file)):
        for method in job.methods:
            used = parts.settings("distill", method)
            wanted = printed.get(method.name, {})
            assert {name: used[name] for name in wanted} == wanted


def test_the_grid_is_that_of_the_transparency_paper() -> None:
    tried = [
        (job.data.source.name, *method.params.values())
        for job in experiments_of(suite_of(FOLDER / "tkd-grid.yaml"))
        for method in job.methods
    ]
    sources = ("brain_tumor", "eye_disease", "alzheimer")
    assert tried == [
        (source, alpha, T) for source in sources for alpha in (0.4, 0.7) for T in (5, 10, 15)
    ]


@pytest.mark.parametrize("paper", ["xkd", "dfkd", "hdkd", "tkd"])
def test_tables_of_a_paper_share_what_they_have_in_common(paper: str) -> None:
    keys: dict[tuple[Any, ...], set[str]] = {}
    for file in FILES:
        if file.stem.startswith(f"{paper}-"):
            for _, plan in plans(file):
                for label, key in trained(plan):
                    keys.setdefault(label, set()).add(key)
    assert {label: found for label, found in keys.items() if len(found) > 1} == {}


def trained(plan: Plan) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield what a model is called, with what tells experiments apart on purpose, and its key."""
    job = plan.job
    data = job.data.source.name
    for name, step in plan.pretrain.items():
        yield (data, name), step.key
    for each in plan.arms:
        few = job.train.student.per_class
        grid = tuple(each.arm.method.params.items())
        for step in each.distil:
            yield (data, step.label, few, grid), step.key


@cache
def compared_of(file: Path) -> dict[str, Any]:
    """Return the comparison of a suite all of whose experiments have run."""
    return compare(suite_of(file), {name: finished(name, plan) for name, plan in plans(file)})


def finished(experiment: str, plan: Plan) -> dict[str, Any]:
    """Return results as a run of the plan would leave them, each number another one."""
    arms = [item.arm for item in plan.arms]
    rows: list[tuple[str, str, str | None, str | None]] = [
        ("teacher", name, None, None) for name in plan.pretrain
    ]
    rows += [("student", arm.student.id, teacher_of(arm), arm.method.name) for arm in arms]
    return {
        "confidence": 0.95,
        "models": [
            {
                **dict(zip(("role", "model", "teacher", "method"), row, strict=True)),
                "label": label(*row[1:]),
                "runs": [{"scores": {"test": scores(plan.job, experiment, label(*row[1:]))}}],
                "summary": {"test": {}},
                "cost": numbers(experiment, label(*row[1:]), COSTS),
            }
            for row in rows
        ],
        "explanations": {
            "figure": f"{experiment}.png",
            "scores": [
                {
                    "label": label(*row[1:]),
                    "role": row[0],
                    **explained(experiment, part.name, row[0]),
                }
                for part in plan.job.explain.methods
                for row in (rows[0], rows[-1])
            ],
        },
    }


def teacher_of(arm: Arm) -> str | None:
    return arm.teacher.id if arm.teacher else None


def label(model: str, teacher: str | None, method: str | None) -> str:
    """Return what a model is called in ``cells.csv``."""
    if method is None:
        return model
    return f"{model} <- {teacher} ({method})" if teacher else f"{model} alone"


def unique(experiment: str, model: str, measure: str) -> float:
    """Return the number that stands for a measure of a model, and for nothing else."""
    name = f"{experiment}: {model}: {measure}"
    return int(hashlib.sha256(name.encode()).hexdigest()[:12], 16) / 16**12


def numbers(experiment: str, model: str, measures: Iterable[str]) -> dict[str, float]:
    return {name: unique(experiment, model, name) for name in measures}


def explained(experiment: str, explainer: str, role: str) -> dict[str, Any]:
    """Return a row of scores of explanations, whose MET is none of its measures."""
    found = numbers(experiment, f"{explainer} of the {role}", FAITHFULNESS)
    scores = {name: {**ONE, "mean": value, "seeds": None} for name, value in found.items()}
    return {"method": explainer, "runs": 1, "met_ms": scores.pop("met_ms"), "measures": scores}


def scores(job: Experiment, experiment: str, model: str) -> dict[str, Any]:
    """Return scores of the classes that the job's source says it has."""
    classes = parts.header("data", job.data.source.name).constants["CLASSES"]
    return {
        **numbers(experiment, model, WHOLE),
        "per_class": {
            name: numbers(experiment, f"{model} of {name}", OF_CLASS) for name in classes
        },
    }
