"""A plan to training runs: which step trains what, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdray import __version__, parts
from kdray.plan import ArmSteps, Plan, Step
from kdray.run.teaching import Teaching
from kdray.run.training import Assignment
from kdray.spec.experiment import Train
from kdray.store import Store


def pretraining(plan: Plan) -> list[Assignment]:
    """Return the training runs of the teachers."""
    job = plan.job
    models = {model.id: model for model in job.teachers}
    return [
        Assignment(
            path=step.path,
            key=step.key,
            label=step.label,
            step=step.id,
            dataset=plan.prepare.path,
            role="teacher",
            model=models[name],
            train=job.train.teacher,
            augment=job.data.augment,
            select=job.train.select,
            seed=job.train.seed,
            view_seed=job.train.seed,
            num_views=None,
            method=None,
            teachers=(),
            lineage=_lineage(plan, step),
        )
        for name, step in plan.pretrain.items()
    ]


def distilling(plan: Plan, store: Store) -> list[Assignment]:
    """Return the training runs of the students, with the settings that the searches found."""
    return [
        student(plan, arm, step, _found(plan, arm, store), plan.job.train.student, index)
        for arm in plan.arms
        for index, step in enumerate(arm.distil)
    ]


def student(
    plan: Plan, arm: ArmSteps, step: Step, found: Mapping[str, Any], train: Train, index: int
) -> Assignment:
    """Return a training run of a student.

    Args:
        plan: The plan.
        arm: The student's arm.
        step: The step that it belongs to.
        found: Settings that a search found.
        train: How it is trained.
        index: Which of its seeds.
    """
    job = plan.job
    settings = dict(found)
    rate = settings.pop("learning_rate", train.learning_rate)
    method = arm.arm.method
    teacher = arm.arm.teacher
    filled = parts.header("distill", method.name).Params.model_validate(
        {**method.params, **settings}
    )
    return Assignment(
        path=step.path,
        key=step.key,
        label=step.label,
        step=step.id,
        dataset=plan.prepare.path,
        role="student",
        model=arm.arm.student,
        train=train.model_copy(update={"learning_rate": float(rate)}),
        augment=job.data.augment,
        select=job.train.select,
        seed=job.train.seed + index,
        view_seed=job.train.seed,
        num_views=plan.views,
        method=(method.name, filled.model_dump()),
        teachers=tuple(_teaching(plan, name) for name in arm.arm.teachers),
        lineage={
            **_lineage(plan, step),
            "method": method.name,
            "params": filled.model_dump(mode="json"),
            "learning_rate": float(rate),
            "teacher": None if teacher is None else teacher.id,
            "teacher_key": "+".join(plan.pretrain[name].key for name in arm.arm.teachers) or None,
        },
    )


def _lineage(plan: Plan, step: Step) -> dict[str, Any]:
    window = plan.job.data.window
    return {
        "job": plan.job.name,
        "step": step.id,
        "dataset_key": plan.prepare.key,
        "source": plan.job.data.source.name,
        "window": None if window is None else window.model_dump(mode="json"),
        "kdray": __version__,
    }


def _teaching(plan: Plan, teacher: str) -> Teaching:
    record = plan.record.get(teacher)
    return Teaching(plan.pretrain[teacher].path, None if record is None else record.path)


def _found(plan: Plan, arm: ArmSteps, store: Store) -> dict[str, Any]:
    """Return the settings that the search found for an arm."""
    if plan.search is None or not arm.spaces:
        return {}
    return dict(store.finished(plan.search.path)["arms"][arm.arm.slug]["best"]["params"])
