"""One training run: from stored data set and teacher to a stored package; used by every worker."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from kdray import parts
from kdray.data import Pool, Views
from kdray.errors import KdrayError, RunError
from kdray.learn import Batches, Epoch, Fitted, Hooks, Labels, Objective, Taught, World, fit
from kdray.models import build_model
from kdray.net import Net
from kdray.registry.package import write_package
from kdray.run.cached import open_dataset, open_pool
from kdray.run.teaching import Lesson, Teaching, teacher_of
from kdray.spec.experiment import Augment, Model, Train
from kdray.store import Store

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Assignment:
    """Everything that one training run depends on.

    Args:
        path: Where its result lies in the storage.
        key: Names its checkpoints.
        label: What people call it.
        step: Id of the step it belongs to.
        dataset: Path of the data set in the storage.
        role: ``teacher`` or ``student``.
        model: The model to train.
        train: How.
        augment: The views.
        select: The validation score that chooses the epoch.
        seed: Seed of weights and order.
        view_seed: Seed of the views.
        num_views: Different views of each image; None: no view is ever shown twice.
        method: Name and settings of the method; None: labels only, as teachers are pretrained.
        teachers: Who teaches: one, the members of an ensemble, or nobody.
        lineage: What the package says of its origin.
    """

    path: str
    key: str
    label: str
    step: str
    dataset: str
    role: Literal["teacher", "student"]
    model: Model
    train: Train
    augment: Augment
    select: str
    seed: int
    view_seed: int
    num_views: int | None
    method: tuple[str, Mapping[str, Any]] | None
    teachers: tuple[Teaching, ...]
    lineage: Mapping[str, Any]


def run(
    work: Assignment,
    store: Store,
    world: World,
    tell: Tell,
    on_epoch: Callable[[Epoch], bool] = lambda epoch: False,
) -> tuple[Net, Fitted]:
    """Train, from the last checkpoint if there is one, and return net and history.

    Args:
        work: What to train.
        store: The storage.
        world: The processes that share the run.
        tell: Takes events.
        on_epoch: Told of each epoch; returns True to stop.
    """
    pool = open_pool(store.uri, work.dataset, work.train)
    info = pool.dataset.info
    net = build_model(
        work.model.model.name,
        dict(work.model.model.params),
        channels=info.channels,
        classes=len(info.classes),
        image_size=info.image_size,
        weights=work.model.weights,
        seed=work.seed,
    )
    net = replace(net, module=net.module.to(world.device))
    sight = (info.mean, info.std, world.device, work.num_views)
    views = Views(work.augment, work.view_seed, *sight)
    batches = Batches(pool.dataset, views, work.train.batch_size, work.seed, world, pool)
    objective = _objective(work, store, pool, world, net)
    hooks = _hooks(work, store, tell, on_epoch)
    return net, fit(net, objective, batches, work.train, work.select, hooks)


def run_whole(work: Assignment, store: Store, world: World, tell: Tell) -> None:
    """Train in this process alone and store the package, unless that is done.

    Args:
        work: What to train.
        store: The storage.
        world: This process.
        tell: Takes events.
    """
    if store.result(work.path) is not None:
        return
    facts = {"step": work.step, "run": work.label}
    tell({"kind": "run_started", **facts, "pid": os.getpid()})
    net, fitted = run(work, store, world, tell)
    publish(work, store, net, fitted)
    tell({"kind": "run_finished", **facts})


def failure(work: Assignment, error: Exception) -> RunError:
    """Return the error of a run as its user is told: our own words, or what was raised where."""
    if isinstance(error, KdrayError):
        where = ": ".join(part for part in (work.label, error.where) if part)
        return RunError(where, error.problem, error.remedy)
    lines = "".join(traceback.format_exception(error)[-3:]).rstrip()
    problem = f"{type(error).__name__}: {error}."
    return RunError(work.label, problem, f"It was raised here:\n{lines}")


def publish(work: Assignment, store: Store, net: Net, fitted: Fitted) -> None:
    """Store a finished run as a package, whole, and drop its checkpoint."""
    info = open_dataset(store.uri, work.dataset).info
    net.module.load_state_dict(fitted.state)
    result: dict[str, Any] = {
        "label": work.label,
        "seed": work.seed,
        "key": work.key,
        "best_epoch": fitted.best_epoch,
        "validation": fitted.validation,
        "train": work.train.model_dump(mode="json"),
        "method": None if work.method is None else work.method[0],
        "params": {} if work.method is None else dict(work.method[1]),
        "history": [vars(epoch) for epoch in fitted.epochs],
    }
    with store.publish(work.path, result) as folder:
        write_package(
            folder,
            net,
            model={"name": work.model.model.name, "params": dict(work.model.model.params)},
            id=work.model.id,
            role=work.role,
            info=info,
            lineage={
                **work.lineage,
                "seed": work.seed,
                "dataset_hash": info.hash,
                "key": work.key,
            },
        )
    store.delete(f"work/{work.key}")


def _objective(work: Assignment, store: Store, pool: Pool, world: World, net: Net) -> Objective:
    if work.method is None:
        weighed = work.train.balance == "class_weights"
        return Labels(_class_weights(pool, world) if weighed else None, work.train.loss)
    name, settings = work.method
    part = parts.load("distill", name)
    method = part.Method(part.Params.model_validate(dict(settings)))
    lesson = Lesson(store.uri, work.dataset, work.train, world.device)
    teacher = teacher_of(work.teachers, method, net, lesson)
    info = pool.dataset.info
    sample = torch.zeros(1, info.channels, info.image_size, info.image_size, device=world.device)
    return Taught(method, teacher, net, sample, work.seed)


def _class_weights(pool: Pool, world: World) -> torch.Tensor:
    return torch.from_numpy(pool.class_weights()).float().to(world.device)


def _hooks(work: Assignment, store: Store, tell: Tell, on_epoch: Callable[[Epoch], bool]) -> Hooks:
    name = f"work/{work.key}/state.pt"
    base = {"step": work.step, "run": work.label, "epochs": work.train.epochs, "pid": os.getpid()}

    def epoch_done(epoch: Epoch, best: int) -> bool:
        score = epoch.score(work.select)
        facts = {
            "epoch": epoch.epoch,
            "loss": epoch.train_loss,
            "score": score,
            "metric": work.select,
            "best": best,
            "images_per_s": epoch.images_per_s,
            "seconds_left": epoch.seconds * (work.train.epochs - epoch.epoch),
        }
        tell({"kind": "epoch", **base, **facts})
        return on_epoch(epoch)

    def beat(epoch: int, done: int, total: int) -> None:
        tell(
            {
                "kind": "progress",
                **base,
                "epoch": epoch,
                "done": done,
                "total": total,
                "unit": "images",
            }
        )

    return Hooks(lambda: store.read(name), lambda data: store.write(name, data), epoch_done, beat)
