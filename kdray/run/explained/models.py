"""Which models are explained: all that are scored, and the two that are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kdray.plan import Arm, Plan, Step
from kdray.run.results import best_arm, best_run
from kdray.store import Store


@dataclass(frozen=True)
class Row:
    """A model trained one way, as the tables of explanations name it.

    Args:
        label: What people call it.
        role: ``teacher`` or ``student``.
        runs: The trainings that are scored.
        teachers: Whose maps its own are compared with.
    """

    label: str
    role: str
    runs: tuple[Step, ...]
    teachers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shown:
    """The best student and its teacher.

    Args:
        arm: How the student was trained.
        run: Its best run.
        teacher: Who stands beside it: its teacher, or the first of an ensemble or of the job;
            None in a job without teachers.
    """

    arm: Arm
    run: Step
    teacher: str | None

    @property
    def student_title(self) -> str:
        """What figures call the student."""
        return f"student {self.arm.label}"

    @property
    def teacher_title(self) -> str:
        """What figures call the teacher."""
        return f"teacher {self.teacher}"

    def paths(self, plan: Plan) -> dict[str, str]:
        """Return title -> path of the package, teacher first."""
        student = {self.student_title: self.run.path}
        if self.teacher is None:
            return student
        return {self.teacher_title: plan.pretrain[self.teacher].path, **student}


def shown(plan: Plan, store: Store) -> Shown:
    """Return which student is best on the validation split, and who stands beside it."""
    best, _ = best_arm(plan, store)
    path = best_run(best, store, plan.job.train.select)
    run = next(step for step in best.distil if step.path == path)
    return Shown(best.arm, run, next(iter(best.arm.teachers or plan.pretrain), None))


def rows(plan: Plan, best: Shown) -> list[Row]:
    """Return the models that are scored: the teachers, then the students that the job names."""
    teachers = [Row(name, "teacher", (step,)) for name, step in plan.pretrain.items()]
    if plan.job.explain.models == "best":
        return [*teachers, Row(best.arm.label, "student", (best.run,), _teachers(plan, best.arm))]
    students = [
        Row(item.arm.label, "student", item.distil, _teachers(plan, item.arm))
        for item in plan.arms
    ]
    return [*teachers, *students]


def _teachers(plan: Plan, arm: Arm) -> tuple[str, ...]:
    """Return the teacher of an arm; of a student alone, the teachers of its pairs."""
    if arm.teachers:
        return arm.teachers[:1]
    baselines: Mapping[str, str] = {
        student.id: student.baseline or student.id for student in plan.job.students
    }
    others = [item.arm for item in plan.arms if item.arm.teachers]
    paired = [one.teachers[0] for one in others if baselines[one.student.id] == arm.student.id]
    own = [one.teachers[0] for one in others if one.student.id == arm.student.id]
    return tuple(dict.fromkeys([*own, *paired]))
