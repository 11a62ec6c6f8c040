"""The teacher of a run: its records where they hold what the method takes, else the net itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kdray.distill import DistillationMethod
from kdray.knowledge.names import columns_in
from kdray.knowledge.outline import Outline, asked_of
from kdray.learn import Live, Mean, Recorded, Teacher
from kdray.net import Net
from kdray.run.cached import finished, open_knowledge, open_teacher
from kdray.spec.experiment import Train


@dataclass(frozen=True)
class Teaching:
    """Where a teacher lies in the storage.

    Args:
        package: Path of its package.
        record: Path of the step that recorded it; None: it is always computed.
    """

    package: str
    record: str | None = None


@dataclass(frozen=True)
class Lesson:
    """What a teacher looks at.

    Args:
        uri: The storage.
        dataset: Path of the data set in it.
        train: Which of its images.
        device: Where the batches are.
    """

    uri: str
    dataset: str
    train: Train
    device: str


def teacher_of(
    teachers: Sequence[Teaching], method: DistillationMethod, student: Net, lesson: Lesson
) -> Teacher | None:
    """Return the teacher, the mean of several, or None where there is none.

    The weights of a teacher whose records hold all that the method takes are not loaded.

    Args:
        teachers: Who teaches.
        method: The method.
        student: Who learns.
        lesson: What they look at.

    Raises:
        ModelError: A net lacks what the method looks at.
        StoreError: A record is not what its name says.
    """
    found = [_one(teaching, method, student, lesson) for teaching in teachers]
    return Mean(found) if len(found) > 1 else next(iter(found), None)


def _one(teaching: Teaching, method: DistillationMethod, student: Net, lesson: Lesson) -> Teacher:
    recorded = None
    if teaching.record is not None:
        recorded = _recorded(teaching.record, method, student, lesson)
    return recorded or Live(open_teacher(lesson.uri, teaching.package, lesson.device))


def _recorded(
    record: str, method: DistillationMethod, student: Net, lesson: Lesson
) -> Recorded | None:
    """Return the records of a teacher, or None where they lack what the method takes."""
    facts = finished(lesson.uri, record)
    outline = Outline.from_json(facts["outline"])
    columns = asked_of(method, student, outline, facts["maps"]).columns
    if not set(columns_in(facts)).issuperset(columns):
        return None
    where = (lesson.uri, facts["key"], columns, facts["views"])
    knowledge = open_knowledge(*where, lesson.dataset, lesson.train)
    return Recorded(outline, knowledge, lesson.device)
