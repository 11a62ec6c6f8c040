"""The papers' tables and figures as jobs: every printed number is there, and can be measured."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kdray import parts
from kdray.plan import Plan, experiments_of, make_plan, read_job
from kdray.report import compare
from kdray.spec import Experiment, Suite

FOLDER = Path(__file__).resolve().parents[2] / "jobs" / "papers"
FILES = sorted(FOLDER.glob("*.yaml"))
#: Job -> rows, printed numbers and their sum for each of its tables, added up from the papers.
TABLES = {
    "xkd-table-1": [(5, 30, 2760.2)],
    "xkd-table-2": [(6, 36, 3348.09)],
    "xkd-figure-2": [],
    "dfkd-table-1": [(8, 136, 583.2132)],
    "dfkd-figure-2": [],
    "hdkd-table-1-2": [(2, 4, 15.63), (2, 4, 11.62)],
    "hdkd-table-3": [(2, 8, 728.37)],
    "hdkd-table-4": [(2, 8, 656.63)],
    "hdkd-table-5": [(13, 52, 2589.78)],
    "hdkd-table-6": [(9, 90, 9029.9)],
    "hdkd-table-7": [(6, 60, 9322.8)],
    "hdkd-table-8": [(9, 90, 9181.2)],
    "hdkd-table-9": [(6, 60, 9326.4)],
    "hdkd-table-10": [(6, 24, 1186.46)],
    "hdkd-table-11": [(6, 18, 625.9)],
    "hdkd-table-12": [(9, 45, 2094.582)],
    "hdkd-figure-5": [],
    "tkd-grid": [(7, 2, 1.9424), (7, 1, 0.9351), (7, 2, 1.9884)],
    "tkd-explain": [(2, 2, 799.59), (6, 0, 0.0)],
}
COSTS = {"parameters": 1, "macs": 1, "macs_ptflops": 1, "latency_ms": 1.0, "file_mb": 1.0}
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
    assert {file.stem for file in FILES} == set(TABLES)


@each_job
def test_a_job_is_called_as_its_file(file: Path) -> None:
    assert suite_of(file).name == file.stem


@each_job
def test_all_printed_numbers_are_there(file: Path) -> None:
    found = []
    for table in suite_of(file).tables:
        printed = [cell for row in table.rows for cell in row.published if cell is not None]
        found.append((len(table.rows), len(printed), round(sum(printed), 6)))
    assert found == TABLES[file.stem]


@each_job
def test_every_cell_finds_its_number_once_all_has_run(file: Path) -> None:
    results: dict[str | None, Any] = {name: finished(plan) for name, plan in plans(file)}
    compared = compare(suite_of(file), results)
    cells = [
        cell for table in compared["tables"] for row in table["rows"] for cell in row["cells"]
    ]
    assert [cell for cell in cells if cell["measured"] is None] == []
    assert all(figure["file"] for figure in compared["figures"])


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


def finished(plan: Plan) -> dict[str, Any]:
    """Return results with every score and measure, as a run of the plan would leave them."""
    teachers = [("teacher", name, None, None) for name in plan.pretrain]
    arms = [item.arm for item in plan.arms]
    students = [
        ("student", arm.student.id, arm.teacher.id if arm.teacher else None, arm.method.name)
        for arm in arms
    ]
    return {
        "confidence": 0.95,
        "models": [
            {
                **dict(zip(("role", "model", "teacher", "method"), model, strict=True)),
                "runs": [{"scores": {"test": scores(plan.job)}}],
                "summary": {"test": {}},
                "cost": COSTS,
            }
            for model in (*teachers, *students)
        ],
        "explanations": {
            "figure": f"{plan.explain.path}/explanations.png",
            "measures": [
                {"method": part.name, "role": role, **dict.fromkeys(MEASURES, MEASURED)}
                for part in plan.job.explain.methods
                for role in ("teacher", "student")
            ],
        },
    }


MEASURES = ("met_ms", "retention", "label_agreement")
MEASURED = {"mean": 1.0, "std": None, "low": None, "high": None, "n": 1, "over": "images"}


def scores(job: Experiment) -> dict[str, Any]:
    """Return scores of the classes that the job's source says it has."""
    classes = parts.header("data", job.data.source.name).constants["CLASSES"]
    of_class = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "auc": 0.5, "support": 1}
    means = [f"{mean}_{score}" for mean in ("macro", "weighted") for score in of_class]
    whole = dict.fromkeys(("accuracy", "loss", "auc", *means), 0.5)
    return {**whole, "per_class": dict.fromkeys(classes, of_class)}
