"""A plan to its search: the arms, what their students cost, and the trials' training runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdray import parts
from kdray.data import DatasetInfo
from kdray.measure import costs
from kdray.models import build_model
from kdray.plan import ArmSteps, Plan
from kdray.plan.spaces import num_trials
from kdray.run import assign
from kdray.run.board import Searching
from kdray.run.trials import SearchArm
from kdray.run.warm import earlier_records
from kdray.run.workers import Workers
from kdray.spec.experiment import Model, Train
from kdray.store import Store


def searching(plan: Plan, store: Store, workers: Workers) -> Searching | None:
    """Return the search of a job, or None where nothing is left to search.

    Args:
        plan: The job's plan; the data set is prepared.
        store: The storage.
        workers: They measure what the students cost.

    Raises:
        JobError: The earlier search is not there, or chose by another score.
    """
    step, job = plan.search, plan.job
    if step is None or store.result(step.path) is not None:
        return None
    epochs = job.search.epochs or job.train.student.epochs
    train = job.train.student.model_copy(update={"epochs": epochs})
    prices = _prices(plan, store, workers)
    arms = [_arm(plan, arm, train, prices[arm.arm.student.id]) for arm in plan.searched]
    return Searching(
        path=step.path,
        key=step.key,
        step=step.id,
        job=job.name,
        arms=arms,
        runs={
            arm.arm.slug: assign.student(plan, arm, step, {}, train, 0) for arm in plan.searched
        },
        search=job.search,
        select=job.train.select,
        epochs=epochs,
        gpus=job.resources.gpus_per_worker * job.search.workers,
        earlier=earlier_records(job, arms),
    )


def _arm(plan: Plan, arm: ArmSteps, train: Train, price: Mapping[str, float]) -> SearchArm:
    own, search = arm.arm, plan.job.search
    params = parts.header("distill", own.method.name).Params
    filled = params.model_validate(own.method.params).model_dump()
    return SearchArm(
        slug=own.slug,
        label=own.label,
        student=own.student.id,
        teacher=None if own.teacher is None else own.teacher.id,
        method=own.method,
        spaces=arm.spaces,
        # The first trial of an arm has the method's own defaults.
        defaults={**filled, "learning_rate": train.learning_rate},
        trials=num_trials(search, own.method, arm.spaces),
        costs=price,
    )


def _prices(plan: Plan, store: Store, workers: Workers) -> dict[str, dict[str, float]]:
    """Return student -> its costs that are to be kept low; measured once, before any trial."""
    students = {arm.arm.student.id: arm.arm.student for arm in plan.searched}
    names = plan.job.search.against
    if not names or plan.search is None:
        return {name: {} for name in students}
    file = f"work/{plan.search.key}/costs.json"
    found: dict[str, dict[str, float]] = dict(store.read_json(file) or {})
    info = DatasetInfo.of(store.finished(plan.prepare.path))
    shape = (info.channels, len(info.classes), info.image_size)
    repeats = plan.job.evaluate.latency_repeats
    for name, model in students.items():
        if name not in found:
            found[name] = workers.one(_price, model, shape, tuple(names), repeats)
            store.write_json(file, found)
    return found


def _price(
    model: Model, shape: tuple[int, int, int], names: tuple[str, ...], repeats: int
) -> dict[str, Any]:
    channels, classes, image_size = shape
    net = build_model(
        model.model.name,
        dict(model.model.params),
        channels=channels,
        classes=classes,
        image_size=image_size,
    )
    return costs(net, names, channels=channels, image_size=image_size, repeats=repeats)
