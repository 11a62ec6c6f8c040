"""The arms of a job: which student learns from which teacher by which method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from kdray import parts
from kdray.errors import JobError
from kdray.plan.steps import Arm
from kdray.spec import Experiment
from kdray.spec.experiment import Ensemble, Method, Model

Item = TypeVar("Item")


def arms_of(job: Experiment) -> tuple[Arm, ...]:
    """Return the arms of a job: methods without a teacher once a student, others once a pair.

    Raises:
        JobError: A pair names a model that the job does not have, or a method needs what its
            teacher has not.
    """
    teachers = {model.id: model for model in job.all_teachers()}
    students = {model.id: model for model in job.students}
    arms: dict[tuple[str, str | None, str], Arm] = {}
    for index, pair in enumerate(job.all_pairs()):
        student = _known(students, pair.student, f"pairs.{index}.student")
        teacher = _known(teachers, pair.teacher, f"pairs.{index}.teacher")
        for place, method in enumerate(job.methods):
            needed = teacher if needs(method) else None
            key = (student.id, needed.id if needed else None, method.name)
            if method.is_for(key[0], key[1]):
                _refuse_maps_of(needed, method, place)
                arms.setdefault(key, Arm(student, needed, method))
    if not teachers:
        arms = {
            (id, None, method.name): Arm(student, None, method)
            for id, student in students.items()
            for method in _alone(job)
            if method.is_for(id, None)
        }
    order = [(student, teacher) for student in students for teacher in (None, *teachers)]
    found = tuple(arms[key] for key in sorted(arms, key=lambda key: order.index(key[:2])))
    _refuse_equal_names(found)
    return found


def teachers_of(job: Experiment) -> list[Model]:
    """Return the models that teach in some arm, those of ensembles included."""
    needed = {name for arm in arms_of(job) for name in arm.teachers}
    return [model for model in job.teachers if model.id in needed]


def needs(method: Method) -> tuple[str, ...]:
    """Return what a method looks at in a teacher, in words; nothing where it needs none."""
    return tuple(parts.header("distill", method.name).constants["NEEDS"])


def takes_maps(method: Method) -> bool:
    """Return whether a method looks at more of a teacher than its logits."""
    return needs(method) not in ((), ("logits",))


def _refuse_maps_of(teacher: Model | Ensemble | None, method: Method, place: int) -> None:
    if isinstance(teacher, Ensemble) and takes_maps(method):
        raise JobError(
            f"methods.{place}",
            f"{method.name} looks at more than the logits of its teacher, and the ensemble "
            f"{teacher.id} has only logits.",
            f"Name the teachers that it is for: `methods[{place}].teachers`.",
        )


def _refuse_equal_names(arms: Sequence[Arm]) -> None:
    """Refuse ids that read the same when joined: student a-b of c, and a of b-c."""
    by_slug: dict[str, Arm] = {}
    for arm in arms:
        other = by_slug.setdefault(arm.slug, arm)
        if other is not arm:
            problem = f"{other.label!r} and {arm.label!r} would both be filed as {arm.slug}."
            raise JobError("students", problem, "Give one of the models another `id`.")


def _alone(job: Experiment) -> tuple[Method, ...]:
    """Return the methods of a job without teachers.

    Raises:
        JobError: One of them needs a teacher.
    """
    for index, method in enumerate(job.methods):
        if needs(method):
            problem = f"{method.name} needs a teacher, and the job has none."
            raise JobError(
                f"methods.{index}", problem, "List `teachers`, or the method none alone."
            )
    return job.methods


def _known(models: Mapping[str, Item], name: str, where: str) -> Item:
    if name not in models:
        raise JobError(
            where, f"no model of the job is called {name!r}.", f"Its ids: {', '.join(models)}."
        )
    return models[name]
