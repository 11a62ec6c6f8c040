"""The step ``explain``: every model's explanations scored, compared, checked and drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from kdray.plan import Arm, Plan, Step
from kdray.plan.explained import checked_step, scored_step, titled
from kdray.run.explained.checking import check
from kdray.run.explained.comparing import Pair, compare
from kdray.run.explained.drawing import SIDE_BY_SIDE, Drawing, draw
from kdray.run.explained.gathering import check_rows, notes, score_rows, scored_facts
from kdray.run.explained.models import Row, Shown, rows, shown
from kdray.run.explained.scoring import Work, score
from kdray.run.workers import Workers
from kdray.store import Store

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class _Job:
    """The plan and what performs it."""

    plan: Plan
    store: Store
    workers: Workers
    tell: Tell

    @property
    def methods(self) -> tuple[str, ...]:
        """Titles of the methods."""
        return tuple(titled(self.plan.job))


def run_explain(plan: Plan, store: Store, workers: Workers, tell: Tell) -> None:
    """Score, compare, check and draw the explanations, and store all of it with the step.

    What is measured of a single model lies in a folder of its own: an interrupted step goes on
    from there, and other jobs that ask the same of the same model find it.

    Args:
        plan: The job's plan; all its models are trained.
        store: The storage.
        workers: They do it.
        tell: Takes events.
    """
    job = _Job(plan, store, workers, tell)
    best = shown(plan, store)
    found = rows(plan, best) if plan.job.explain.scored else []
    targets = {step.id: scored_step(plan.job, step).path for row in found for step in row.runs}
    _perform(job, score, [step for row in found for step in row.runs], targets, "models scored")
    sane, doubts = _checked(job, best) if plan.job.explain.sanity and found else ([], [])
    picture, *alike = _drawn_and_compared(job, best, _pairs(job, found, targets))
    measured = _gathered(job, found, targets)
    result = {
        "figures": [dict(figure) for figure in picture.figures],
        "path": plan.explain.path,
        "figure": f"{plan.explain.path}/{SIDE_BY_SIDE}",
        "methods": list(job.methods),
        "images": picture.images,
        **_who(best),
        **measured,
        "agreement": [line for lines in alike for line in lines],
        "sanity": sane,
        "notes": [*_of_ensemble(best.arm), *picture.notes, *measured["notes"], *doubts],
    }
    with store.publish(plan.explain.path, result) as folder:
        for file, data in picture.pictures.items():
            (folder / file).write_bytes(data)


def _who(best: Shown) -> dict[str, Any]:
    """Return who is in the figures."""
    student = best.student_title
    teacher = student if best.teacher is None else best.teacher_title
    return {
        "models": list(dict.fromkeys([teacher, student])),
        "subject": {
            "teacher": best.teacher,
            "student": best.arm.student.id,
            "method": best.arm.method.name,
        },
        "teacher": teacher,
        "student": student,
    }


def _of_ensemble(arm: Arm) -> tuple[str, ...]:
    if arm.teacher is None or len(arm.teachers) < 2:
        return ()
    others = ", ".join(arm.teachers[1:])
    return (
        f"The student learned from the ensemble {arm.teacher.id}: its first member "
        f"{arm.teachers[0]} stands for the others ({others}), since a mean of logits has no map.",
    )


def _gathered(job: _Job, found: Sequence[Row], targets: Mapping[str, str]) -> dict[str, Any]:
    """Return the rows of all scored models, and what a reader should know of their maps."""
    if not found:
        return {"scored": None, "scores": [], "notes": []}
    level = job.plan.job.evaluate.confidence
    scored = [(row, [job.store.finished(targets[step.id]) for step in row.runs]) for row in found]
    return {
        "scored": scored_facts([run for _, runs in scored for run in runs]),
        "scores": [
            line for row, runs in scored for line in score_rows(row, runs, job.methods, level)
        ],
        "notes": [note for row, runs in scored for note in notes(row, runs, job.methods)],
    }


def _pairs(job: _Job, found: Sequence[Row], targets: Mapping[str, str]) -> list[Pair]:
    """Return each student beside each of its teachers."""
    of_teacher = {name: step.id for name, step in job.plan.pretrain.items()}
    return [
        Pair(
            uri=job.store.uri,
            label=row.label,
            teacher=name,
            of_teacher=targets[of_teacher[name]],
            of_student=tuple(targets[step.id] for step in row.runs),
            methods=job.methods,
            confidence=job.plan.job.evaluate.confidence,
        )
        for row in found
        for name in row.teachers
    ]


def _drawn_and_compared(job: _Job, best: Shown, pairs: Sequence[Pair]) -> list[Any]:
    """Return the figures, and then how alike the maps of each pair are."""
    plan = job.plan
    models, images = best.paths(plan), plan.job.explain.images
    drawing = Drawing(job.store.uri, plan.prepare.path, models, titled(plan.job), images)
    calls = [(draw, drawing), *((compare, pair) for pair in pairs)]
    found: dict[int, Any] = {}
    started = time.monotonic()
    for index, made in job.workers.each(_apply, calls):
        found[index] = made
        _say(job, len(found), len(calls), "figures and pairs", _left(started, found, calls))
    return [found[index] for index in range(len(calls))]


def _apply(function: Callable[[Any], Any], given: Any) -> Any:
    return function(given)


def _checked(job: _Job, best: Shown) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the sanity of the teachers' and of the best student's explanations, and notes."""
    teachers = [Row(name, "teacher", (step,)) for name, step in job.plan.pretrain.items()]
    found = [*teachers, Row(best.arm.label, "student", (best.run,))]
    steps = [row.runs[0] for row in found]
    targets = {step.id: checked_step(job.plan.job, step).path for step in steps}
    _perform(job, check, steps, targets, "models checked")
    lines, said = [], []
    for row in found:
        checked = job.store.finished(targets[row.runs[0].id])
        made, doubts = check_rows(row, checked, job.methods, job.plan.job.evaluate.confidence)
        lines += made
        said += doubts
    return lines, said


def _perform(
    job: _Job,
    function: Callable[[Work], None],
    steps: Sequence[Step],
    targets: Mapping[str, str],
    unit: str,
) -> None:
    """Let workers do what no job has done yet to the models, and say how far they are."""
    missing = [step for step in steps if job.store.result(targets[step.id]) is None]
    works = [(_work(job, step, targets[step.id]),) for step in missing]
    had, started = len(steps) - len(missing), time.monotonic()
    _say(job, had, len(steps), unit, None)
    done: list[int] = []
    for index, _ in job.workers.each(function, works):
        done.append(index)
        _say(job, had + len(done), len(steps), unit, _left(started, done, works))


def _left(started: float, done: Sized, calls: Sized) -> float:
    """Return the seconds that are left of this kind of work alone."""
    passed = time.monotonic() - started
    return round(passed / len(done) * (len(calls) - len(done)), 1)


def _work(job: _Job, step: Step, target: str) -> Work:
    return Work(
        uri=job.store.uri,
        dataset=job.plan.prepare.path,
        package=step.path,
        target=target,
        methods=tuple(titled(job.plan.job).values()),
        images=job.plan.job.explain.scored,
        device=job.workers.device,
        threads=job.workers.threads,
    )


def _say(job: _Job, done: int, total: int, unit: str, left: float | None) -> None:
    facts = {"done": done, "total": total, "unit": unit}
    later = {} if left is None else {"seconds_left": left}
    job.tell({"kind": "progress", "step": job.plan.explain.id, **facts, **later})
