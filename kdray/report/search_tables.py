"""Tables of a search: the best of each pair, and the Pareto front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdray.report import cells, facts
from kdray.report.cells import Cell, Column, Table, number
from kdray.report.facts import SCORES, Results
from kdray.report.trials import lower_is_better, trials_of

#: Student, teacher (None: alone) and method.
Arm = tuple[str, str | None, str]

_COSTS = {
    "macs": ("MACs", cells.large),
    "parameters": ("Parameters", cells.large),
    "latency_ms": ("Latency", lambda value: cells.measured(value, "ms")),
    "file_mb": ("File", lambda value: cells.measured(value, "MB")),
}
#: How the row of the students without a teacher is called.
ALONE = "alone"


@dataclass(frozen=True)
class PairCell:
    """What is known of one student with one teacher (or none) and one method.

    Args:
        best: Best validation score of a trial; None without a search.
        trials: Trials of the search.
        finished: Those that ran to their end; without any, ``best`` is of one stopped early.
        test: Mean test score with its interval, as text; empty where it was not distilled.
        share: Where ``best`` lies between the worst (0) and the best (1) pair of the job; pairs
            without a finished trial stretch nothing.
        chosen: Whether it is the best cell of the job.
    """

    best: float | None
    trials: int
    finished: int
    test: str
    share: float
    chosen: bool

    @property
    def counted(self) -> str:
        """How many trials it had, in words."""
        none = ", none finished" if self.trials and not self.finished else ""
        return f"{self.trials:,} trial{'' if self.trials == 1 else 's'}{none}"


@dataclass(frozen=True)
class Matrix:
    """The cells of one method: rows of teachers, columns of students.

    Args:
        method: Its name.
        students: Headings of the columns.
        rows: Heading and cells; None where the job has no such pair.
    """

    method: str
    students: tuple[str, ...]
    rows: tuple[tuple[str, tuple[PairCell | None, ...]], ...]


def pair_matrices(results: Results) -> tuple[Matrix, ...]:
    """Return a matrix a method: the students alone in the first row, then a row a teacher."""
    found = _cells(results)
    students = tuple(dict.fromkeys(student for student, _, _ in found))
    alone = [key for key in found if key[1] is None]
    methods = list(dict.fromkeys(m for _, teacher, m in found if teacher is not None))
    without = tuple(dict.fromkeys(method for _, _, method in alone))
    heads = [(ALONE if method == "none" else f"{ALONE} ({method})", method) for method in without]
    lone = tuple(
        (head, tuple(found.get((student, None, method)) for student in students))
        for head, method in heads
    )
    if not methods:
        return (Matrix("", students, lone),) if lone else ()
    return tuple(
        Matrix(method, students, (*lone, *_taught(found, students, method))) for method in methods
    )


def pairs_table(results: Results) -> Table:
    """Return the best validation scores, a row a method and teacher, a column a student."""
    matrices = pair_matrices(results)
    students = matrices[0].students if matrices else ()
    columns = (
        Column("method", "Method", "How the students learned"),
        Column("teacher", "Teacher", "Whom they learned from"),
        *(
            Column(student, student, "Best validation score of its trials", True)
            for student in students
        ),
    )
    rows = tuple(
        (cells.word(method), cells.word(head), *(_best(cell) for cell in row))
        for method, head, row in _rows(matrices)
        if any(cell is not None and cell.best is not None for cell in row)
    )
    title = f"Best of each pair (validation {SCORES[results['select']]})"
    return Table("pairs", title, columns, rows, (pairs_note(),))


def pairs_note() -> str:
    """Return what a best validation score is, and is not."""
    return (
        "Best validation scores are the best of many trials: they choose settings, and are no "
        "estimate for unseen images. A pair with more trials had more chances."
    )


def pareto_table(results: Results) -> Table:
    """Return one row a trial of the Pareto front, the best score first."""
    study = results.get("search") or {}
    known = {trial.number: trial for trial in trials_of(results)}
    front = [entry for entry in study.get("pareto") or () if entry["number"] in known]
    costs = [cost for cost in study.get("against") or () if cost in _COSTS]
    columns = (
        Column("label", "Student", "Pair and method"),
        Column("number", "Trial", "Number in the study", True),
        Column(
            "score", "Score", f"Best validation {SCORES[results['select']]} of the trial", True
        ),
        *(Column(cost, _COSTS[cost][0], "Cost of the student", True) for cost in costs),
        Column("settings", "Settings"),
    )
    sign = 1 if lower_is_better(results) else -1
    rows = tuple(
        (
            cells.word(entry["label"]),
            cells.count(entry["number"]),
            cells.fixed(entry.get("score")),
            *(_COSTS[cost][1]((entry.get("costs") or {}).get(cost)) for cost in costs),
            cells.settings(known[entry["number"]].params),
        )
        for entry in sorted(front, key=lambda entry: sign * (number(entry.get("score")) or 0.0))
    )
    note = "No finished trial has a better score without a higher cost."
    return Table("pareto", "Pareto front", columns, rows if costs else (), (note,))


def _cells(results: Results) -> dict[Arm, PairCell]:
    """Return what is known of each arm, in the order of the results; nothing without scores."""
    tested = {_arm(model, "model"): model for model in facts.students(results)}
    searches = {_arm(item, "student"): item for item in results.get("searches") or ()}
    best = {arm: number((item.get("best") or {}).get("score")) for arm, item in searches.items()}
    finished = {arm: _states(item).count("complete") for arm, item in searches.items()}
    scored = {arm: score for arm, score in best.items() if score is not None}
    if not scored:
        return {}
    scores = [score for arm, score in scored.items() if finished[arm]] or list(scored.values())
    ends = (min(scores), max(scores))
    worst, top = reversed(ends) if lower_is_better(results) else ends
    return {
        arm: PairCell(
            best=best.get(arm),
            trials=len(_states(searches.get(arm, {}))),
            finished=finished.get(arm, 0),
            test=_test(results, tested.get(arm)),
            share=_share(best.get(arm), worst, top),
            chosen=best.get(arm) == top,
        )
        for arm in dict.fromkeys((*searches, *tested))
    }


def _arm(item: Mapping[str, Any], student: str) -> Arm:
    return item[student], item.get("teacher"), item["method"]


def _states(search: Mapping[str, Any]) -> list[str]:
    return [trial["state"] for trial in search.get("trials", ())]


def _share(score: float | None, worst: float, best: float) -> float:
    if score is None or worst == best:
        return 0.0
    return min(1.0, max(0.0, (score - worst) / (best - worst)))


def _test(results: Results, model: Mapping[str, Any] | None) -> str:
    split = facts.main_split(results)
    if model is None or split is None:
        return ""
    found = facts.summary(model, split, facts.main_score(results))
    return cells.interval(found).text if found else ""


def _taught(
    found: Mapping[Arm, PairCell], students: Sequence[str], method: str
) -> tuple[tuple[str, tuple[PairCell | None, ...]], ...]:
    teachers = dict.fromkeys(t for _, t, m in found if t is not None and m == method)
    return tuple(
        (teacher, tuple(found.get((student, teacher, method)) for student in students))
        for teacher in teachers
    )


def _rows(matrices: Sequence[Matrix]) -> Iterator[tuple[str, str, tuple[PairCell | None, ...]]]:
    """Yield method, heading and cells of every row, those without a teacher once."""
    seen: set[str] = set()
    for matrix in matrices:
        for head, row in matrix.rows:
            lone = head == ALONE or head.startswith(f"{ALONE} (")
            if lone and head in seen:
                continue
            seen |= {head} if lone else set()
            yield ("none" if head == ALONE else matrix.method, head, row)


def _best(cell: PairCell | None) -> Cell:
    return cells.word(None) if cell is None or cell.best is None else cells.fixed(cell.best)
