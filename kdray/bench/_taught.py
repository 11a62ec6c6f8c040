"""kdray's own training steps, made of the pieces that a job's trials are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from kdray import parts
from kdray.bench._images import Images
from kdray.bench._plain import LEARNING_RATE
from kdray.distill import DistillationMethod
from kdray.knowledge.outline import Asked, Outline, asked_of
from kdray.knowledge.reader import Knowledge
from kdray.knowledge.record import Recorder, places_of
from kdray.learn import Batch, Live, Objective, Recorded, Stepper, Taught, Teacher, World
from kdray.learn.optim import optimizer
from kdray.models import lay_out
from kdray.net import Net
from kdray.spec.experiment import Train
from kdray.store import Store

#: The name of the one record of a benchmark.
_KEY = "bench"


@dataclass(frozen=True)
class Lesson:
    """What a student learns by.

    Args:
        method: A name of `kdray methods`.
        params: Its settings.
    """

    method: str
    params: dict[str, Any] = field(default_factory=dict)

    def build(self) -> DistillationMethod:
        """Return the method."""
        part = parts.load("distill", self.method)
        made: DistillationMethod = part.Method(part.Params.model_validate(self.params))
        return made


def train_settings() -> Train:
    """Return how students are trained: Adam, at one rate."""
    return Train(
        epochs=1,
        optimizer="adam",
        learning_rate=LEARNING_RATE,
        weight_decay=0.0,
        schedule="constant",
    )


def recorder_of(
    folder: Path, lesson: Lesson, student: Net, teacher: Net, images: Images
) -> tuple[Recorder, Outline, Asked]:
    """Return what records all that a method wants of a teacher, under a folder."""
    _lay_out(teacher)
    store, info = Store(str(folder)), images.pool.dataset.info
    outline = Outline.of(teacher, info.channels, info.image_size)
    asked = asked_of(lesson.build(), student, outline)
    recorder = Recorder(store, _KEY, teacher, [asked], images.pool, images.batches.views)
    return recorder, outline, asked


def recorded(folder: Path, lesson: Lesson, student: Net, teacher: Net, images: Images) -> Teacher:
    """Record what a method wants of a teacher, and return the teacher that answers from it."""
    recorder, outline, asked = recorder_of(folder, lesson, student, teacher, images)
    recorder.record(0, 0)
    places = places_of(images.pool)
    knowledge = Knowledge(Store(str(folder)), _KEY, asked.columns, places, 1)
    return Recorded(outline, knowledge, images.batches.world.device)


def taught(lesson: Lesson, student: Net, teacher: Teacher | None, images: Images) -> Objective:
    """Return the objective of a student, with a teacher or alone."""
    info = images.pool.dataset.info
    side, device = info.image_size, images.batches.world.device
    sample = torch.zeros(1, info.channels, side, side, device=device)
    return Taught(lesson.build(), teacher, student, sample)


def live(teacher: Net) -> Teacher:
    """Return the teacher that runs in each step."""
    _lay_out(teacher)
    return Live(teacher)


def step(
    student: Net, objective: Objective, next_batch: Callable[[], Batch]
) -> Callable[[], None]:
    """Return what takes one of kdray's training steps after the other."""
    stepper = Stepper(student, objective, train_settings(), World(device=_device_of(student)))
    stepper.begin()
    student.module.train()

    def once() -> None:
        stepper.step(next_batch(), 0, 1)

    return once


def plain_optimizer(student: Net) -> torch.optim.Optimizer:
    """Lay a student's weights out as kdray does, and return the optimizer of kdray's steps."""
    train = train_settings()
    lay_out(student.module, _device_of(student), train.memory_format, train.precision)
    return optimizer(student.module.parameters(), train)


def _lay_out(teacher: Net) -> None:
    """Put a teacher's weights into the order that a job's teachers have."""
    lay_out(teacher.module, _device_of(teacher))


def _device_of(net: Net) -> str:
    return str(next(net.module.parameters()).device)
