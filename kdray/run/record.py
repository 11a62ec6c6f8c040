"""The step ``record``: each teacher looks once at each view, on every node and GPU."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from kdray.data import Views
from kdray.knowledge.names import PART, columns_in, folder_of, missing
from kdray.knowledge.record import Recorder
from kdray.plan import Plan, Step
from kdray.run.cached import open_pool, open_teacher
from kdray.run.kept import describe
from kdray.run.survey import Recording, name_of, survey, weights_of
from kdray.run.tell import Teller
from kdray.run.workers import Workers
from kdray.spec.data import Augment
from kdray.spec.experiment import Train
from kdray.store import Store


@dataclass(frozen=True)
class Source:
    """Where a teacher and its images lie, as a worker needs it.

    Args:
        uri: The storage.
        package: The teacher's package in it.
        dataset: The data set in it.
        augment: What makes the views.
        seed: Seed of the views.
        train: How students learn: which images.
        device: Where the teacher runs.
        threads: Threads of its tensor operations; 0: as they are.
    """

    uri: str
    package: str
    dataset: str
    augment: Augment
    seed: int
    train: Train
    device: str
    threads: int


def run_records(plan: Plan, store: Store, workers: Workers, tell: Teller) -> None:
    """Record every teacher that has no finished record; what is recorded already stays.

    Args:
        plan: The job's plan; its data set is prepared, its teachers are trained.
        store: The storage.
        workers: They run the teachers.
        tell: Takes events.
    """
    weights = weights_of(plan, store)
    left = {
        name: step
        for name, step in plan.record.items()
        if not is_recorded(plan, name, store, weights)
    }
    if not left:
        return
    found = workers.one(survey, plan, store.uri)
    for name, step in left.items():
        with tell.step(step.id):
            for label, why in found[name].live.items():
                tell({"kind": "note", "step": step.id, "text": f"{label} runs its teacher: {why}"})
            source = _source(plan, name, store, workers)
            describe(store, found[name].key, plan, name)
            _record(step, found[name], source, store, workers, tell)


def is_recorded(plan: Plan, teacher: str, store: Store, weights: Mapping[str, str]) -> bool:
    """Return whether a teacher is recorded, its files included where a run will need them.

    Args:
        plan: The job's plan.
        teacher: Its id.
        store: The storage.
        weights: Teacher -> hash of its weights: one that was trained again is not recorded yet.
    """
    step = plan.record[teacher]
    done = store.result(step.path)
    if done is None:
        return False
    needed = [one for one in plan.steps() if step.id in one.needs]
    if all(store.result(one.path) is not None for one in needed):
        return True
    same = done["key"] == name_of(plan, teacher, weights)
    columns = columns_in(done)
    return same and not missing(store, done["key"], columns, done["views"], done["images"])


def _record(
    step: Step,
    recording: Recording,
    source: Source,
    store: Store,
    workers: Workers,
    tell: Teller,
) -> None:
    """Fill in the missing files of one teacher and publish the step's result."""
    started = time.monotonic()
    spots = _missing(recording, store)
    total = recording.views * recording.images
    had = total - sum(_length(recording, part) for _, part in spots)
    calls = [(source, recording, view, part) for view, part in spots]
    seen = done = 0
    for index, images in workers.each(_record_part, calls):
        seen += images
        done += _length(recording, spots[index][1])
        spent = time.monotonic() - started
        progress = {"done": had + done, "total": total, "unit": "images"}
        left = round(spent / done * (total - had - done), 1)
        tell({"kind": "progress", "step": step.id, **progress, "seconds_left": left})
    seconds = round(time.monotonic() - started, 3)
    store.delete(step.path)  # of other weights, or of files that are gone
    with store.publish(step.path, _result(recording, seen, seconds)):
        pass


def _source(plan: Plan, teacher: str, store: Store, workers: Workers) -> Source:
    job = plan.job
    return Source(
        store.uri,
        plan.pretrain[teacher].path,
        plan.prepare.path,
        job.data.augment,
        job.train.seed,
        job.train.student,
        workers.device,
        workers.threads,
    )


def _missing(recording: Recording, store: Store) -> Sequence[tuple[int, int]]:
    columns, views = recording.columns, recording.views
    return missing(store, recording.key, columns, views, recording.images)


def _length(recording: Recording, part: int) -> int:
    """Return how many images a part holds."""
    return min(PART, recording.images - part * PART)


def _result(recording: Recording, seen: int, seconds: float) -> dict[str, Any]:
    files = recording.views * -(-recording.images // PART)
    sizes = recording.column_bytes
    return {
        "teacher": recording.teacher,
        "key": recording.key,
        "folder": folder_of(recording.key),
        "outline": recording.outline,
        "columns": {
            column.name: {
                "slug": column.slug,
                "shape": list(column.shape),
                "dtype": column.dtype,
                "bytes": sizes[column.name],
                "files": files,
            }
            for column in recording.columns
        },
        "maps": recording.knowledge.dtype,
        "live": dict(recording.live),
        "views": recording.views,
        "images": recording.images,
        "bytes": sum(sizes.values()),
        "teacher_images": seen,
        "seconds": seconds,
    }


def _record_part(source: Source, recording: Recording, view: int, part: int) -> int:
    """Record one part of one view in a worker, and return the images that its teacher saw."""
    if source.threads:
        torch.set_num_threads(source.threads)
    return _recorder(_Job(source, recording)).record(view, part)


class _Job:
    """A recording as a key of the worker's cache: its settings are no hashable ones."""

    def __init__(self, source: Source, recording: Recording) -> None:
        self.source = source
        self.recording = recording
        self._name = (source.uri, source.package, recording.key, recording.columns, source.device)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Job) and self._name == other._name

    def __hash__(self) -> int:
        return hash(self._name)


@lru_cache(maxsize=1)
def _recorder(job: _Job) -> Recorder:
    source, recording = job.source, job.recording
    pool = open_pool(source.uri, source.dataset, source.train)
    info = pool.dataset.info
    views = Views(source.augment, source.seed, info.mean, info.std, source.device, recording.views)
    teacher = open_teacher(source.uri, source.package, source.device)
    key, asked = recording.key, recording.asked()
    return Recorder(Store(source.uri), key, teacher, asked, pool, views)
