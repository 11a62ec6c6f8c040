"""A plan to training runs: which step trains what, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdray import __version__, parts
from kdray.plan import ArmSteps, Plan, Step
from kdray.run.search import ArmSearch
from kdray.run.study import Study
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
            method=None,
            teacher=None,
            lineage=_lineage(plan, step),
        )
        for name, step in plan.pretrain.items()
    ]


def distilling(plan: Plan, store: Store) -> list[Assignment]:
    """Return the training runs of the students, with the settings that the searches found."""
    return [
        _student(plan, arm, step, _found(arm, store), plan.job.train.student, index)
        for arm in plan.arms
        for index, step in enumerate(arm.distil)
    ]


def searching(plan: Plan) -> list[ArmSearch]:
    """Return the searches of the job."""
    job = plan.job
    epochs = job.search.epochs or job.train.student.epochs
    train = job.train.student.model_copy(update={"epochs": epochs})
    return [
        ArmSearch(
            path=arm.search.path,
            key=arm.search.key,
            label=arm.arm.label,
            step=arm.search.id,
            trials=job.search.trials,
            study=Study(
                arm.search.key, arm.spaces, _defaults(arm, train), job.search, job.train.select
            ),
            trial=_student(plan, arm, arm.search, {}, train, 0),
        )
        for arm in plan.arms
        if arm.search is not None
    ]


def _student(
    plan: Plan, arm: ArmSteps, step: Step, found: Mapping[str, Any], train: Train, index: int
) -> Assignment:
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
        method=(method.name, filled.model_dump()),
        teacher=None if teacher is None else plan.pretrain[teacher.id].path,
        lineage={
            **_lineage(plan, step),
            "method": method.name,
            "params": filled.model_dump(mode="json"),
            "learning_rate": float(rate),
            "teacher": None if teacher is None else teacher.id,
            "teacher_key": None if teacher is None else plan.pretrain[teacher.id].key,
        },
    )


def _lineage(plan: Plan, step: Step) -> dict[str, Any]:
    return {
        "job": plan.job.name,
        "step": step.id,
        "dataset_key": plan.prepare.key,
        "source": plan.job.data.source.name,
        "kdray": __version__,
    }


def _found(arm: ArmSteps, store: Store) -> dict[str, Any]:
    return {} if arm.search is None else dict(store.finished(arm.search.path)["best"]["params"])


def _defaults(arm: ArmSteps, train: Train) -> dict[str, Any]:
    """Return the settings that the first trial of a search uses: the method's own defaults."""
    method = arm.arm.method
    filled = parts.header("distill", method.name).Params.model_validate(method.params)
    return {**filled.model_dump(), "learning_rate": train.learning_rate}
