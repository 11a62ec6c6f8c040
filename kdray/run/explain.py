"""Explanations of teacher and student, side by side in one figure, with their agreement."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray import measure
from kdray.data import Dataset
from kdray.errors import ExplainError, ModelError
from kdray.infer import Predictor
from kdray.plan import Arm, Plan
from kdray.report.figure import ExplainedImage, Prediction, explanation_figure
from kdray.run.results import best_arm, best_run
from kdray.run.workers import Workers
from kdray.spec.strict import Part
from kdray.store import Store

Tell = Callable[[dict[str, Any]], None]
FIGURE = "explanations.png"


@dataclass(frozen=True)
class Subject:
    """What is explained.

    Args:
        models: Title -> path of the package in the storage, teacher first.
        dataset: Path of the data set.
        methods: The explanations.
        images: How many images.
        shown: Ids of ``teacher``, ``student`` and ``method``.
        notes: What a reader should know of them.
    """

    models: Mapping[str, str]
    dataset: str
    methods: Sequence[Part]
    images: int
    shown: Mapping[str, str | None]
    notes: tuple[str, ...] = ()


def run_explain(plan: Plan, store: Store, workers: Workers) -> None:
    """Draw the figure for the best student and its teacher, and store it with the agreement.

    Args:
        plan: The job's plan; all its models are trained.
        store: The storage.
        workers: One of them does it.
    """
    subject = _subject(plan, store)
    picture, facts = workers.one(_explain, store.uri, subject)
    result = {
        **facts,
        "figure": f"{plan.explain.path}/{FIGURE}",
        "methods": [part.name for part in subject.methods],
        "models": list(subject.models),
        "subject": dict(subject.shown),
        "teacher": next(iter(subject.models)),
        "student": list(subject.models)[-1],
    }
    with store.publish(plan.explain.path, result) as folder:
        (folder / FIGURE).write_bytes(picture)


def _subject(plan: Plan, store: Store) -> Subject:
    arm, _ = best_arm(plan, store)
    teacher = next(iter(arm.arm.teachers or plan.pretrain), None)
    models = {} if teacher is None else {f"teacher {teacher}": plan.pretrain[teacher].path}
    models[f"student {arm.arm.label}"] = best_run(arm, store, plan.job.train.select)
    explain = plan.job.explain
    shown = {"teacher": teacher, "student": arm.arm.student.id, "method": arm.arm.method.name}
    notes = _of_ensemble(arm.arm)
    return Subject(models, plan.prepare.path, explain.methods, explain.images, shown, notes)


def _of_ensemble(arm: Arm) -> tuple[str, ...]:
    if arm.teacher is None or len(arm.teachers) < 2:
        return ()
    others = ", ".join(arm.teachers[1:])
    return (
        f"The student learned from the ensemble {arm.teacher.id}: its first member "
        f"{arm.teachers[0]} stands for the others ({others}), since a mean of logits has no map.",
    )


def _explain(uri: str, subject: Subject) -> tuple[bytes, dict[str, Any]]:
    """Return the figure as PNG, and how well the explanations agree with each other."""
    store = Store(uri)
    dataset = Dataset.open(store.fetch(subject.dataset))
    indices = _drawn(dataset, subject.images)
    images, labels = dataset.images(indices), dataset.labels[indices]
    predictors = {title: Predictor(store.fetch(path)) for title, path in subject.models.items()}
    made = {
        (part.name, title): [
            _map(predictor, image, label, part)
            for image, label in zip(images, labels, strict=True)
        ]
        for part in subject.methods
        for title, predictor in predictors.items()
    }
    maps = {key: [item.map for item in found] for key, found in made.items()}
    masks = dataset.masks(indices)
    rows = _rows(dataset, images, labels, predictors, maps, masks)
    note = "Maps explain the true class. Images of the test split, drawn evenly from the classes."
    with tempfile.TemporaryDirectory() as folder:
        path = Path(os.path.join(folder, FIGURE))
        explanation_figure(
            path, rows, [part.name for part in subject.methods], list(predictors), note
        )
        picture = path.read_bytes()
    facts = {
        "images": len(rows),
        **_agreement(subject, maps),
        "notes": [*subject.notes, *_notes(maps)],
    }
    facts["measures"] = [
        {"method": name, "model": title, "role": title.partition(" ")[0]}
        | _measures(predictors[title], images, labels, found)
        for (name, title), found in made.items()
    ]
    if masks is not None:
        facts["pointing"] = _pointing(maps, masks)
    return picture, facts


def _drawn(dataset: Dataset, count: int) -> NDArray[np.int64]:
    """Return test images, evenly from the classes; those without a copy in train if possible."""
    split = "test" if "test" in dataset.splits else "val"
    indices = dataset.split(split)
    clean = indices[~dataset.leaks[indices]]
    indices = clean if len(clean) >= count else indices
    labels = dataset.labels[indices]
    queues = [list(indices[labels == label]) for label in range(len(dataset.info.classes))]
    drawn: list[int] = []
    while len(drawn) < min(count, len(indices)):
        for queue in queues:
            if queue and len(drawn) < count:
                drawn.append(int(queue.pop(0)))
    return np.array(drawn, dtype=np.int64)


@dataclass(frozen=True)
class _Made:
    """The map of one image, or why there is none, and how long it took in milliseconds."""

    map: NDArray[np.float32] | str
    ms: float


def _map(predictor: Predictor, image: NDArray[np.uint8], label: int, part: Part) -> _Made:
    started = time.perf_counter()
    try:
        target = np.array([label], dtype=np.int64)
        explained = predictor.explain(image[None], part.name, part.params, target)
        found: NDArray[np.float32] | str = explained.checked().maps[0, 0]
    except (ExplainError, ModelError) as error:  # a model without the place it looks at, say
        found = error.problem
    return _Made(found, 1000 * (time.perf_counter() - started))


def _measures(
    predictor: Predictor,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    made: Sequence[_Made],
) -> dict[str, Any]:
    """Return the mean explanation time and how faithful the maps are, over images with a map.

    ``met_ms`` is the time for one image at batch size 1, its forward passes included; the first
    image, which also warms up, is left out where there are more.
    """
    times = [item.ms for item in made if not isinstance(item.map, str)]
    usable = [index for index, item in enumerate(made) if not isinstance(item.map, str)]
    if not usable:
        return {}
    maps = np.stack([np.asarray(made[index].map) for index in usable])
    shown = images[usable]
    before, after = predictor.predict(shown), predictor.predict(measure.masked(shown, maps))
    return {
        "met_ms": measure.over_images(times[1:] or times),
        **measure.faithfulness(before, after, labels[usable]),
    }


def _rows(
    dataset: Dataset,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    predictors: Mapping[str, Predictor],
    maps: Mapping[tuple[str, str], Sequence[NDArray[np.float32] | str]],
    masks: NDArray[np.uint8] | None,
) -> list[ExplainedImage]:
    classes = dataset.info.classes
    probabilities = {title: item.predict(images) for title, item in predictors.items()}
    return [
        ExplainedImage(
            image=images[index],
            label=classes[labels[index]],
            predictions={
                title: Prediction(classes[int(seen[index].argmax())], float(seen[index].max()))
                for title, seen in probabilities.items()
            },
            maps={key: found[index] for key, found in maps.items()},
            mask=None if masks is None else masks[index],
        )
        for index in range(len(images))
    ]


def _agreement(
    subject: Subject, maps: Mapping[tuple[str, str], Sequence[NDArray[np.float32] | str]]
) -> dict[str, Any]:
    """Return for each method how alike the maps of teacher and student are."""
    if len(subject.models) < 2:
        return {"agreement": {}}
    teacher, student = list(subject.models)
    found: dict[str, Any] = {}
    for part in subject.methods:
        pairs = [
            (one, other)
            for one, other in zip(maps[part.name, teacher], maps[part.name, student], strict=True)
            if not isinstance(one, str) and not isinstance(other, str)
        ]
        if pairs:
            ours, theirs = (np.stack(side) for side in zip(*pairs, strict=True))
            found[part.name] = measure.mean_agreement(ours, theirs)
    return {"agreement": found}


def _pointing(
    maps: Mapping[tuple[str, str], Sequence[NDArray[np.float32] | str]], masks: NDArray[np.uint8]
) -> list[dict[str, Any]]:
    """Return how the maps of images with a lesion point into it."""
    found = []
    for (method, title), items in maps.items():
        usable = [
            i for i, item in enumerate(items) if not isinstance(item, str) and masks[i].any()
        ]
        if usable:
            chosen = np.stack([np.asarray(items[i]) for i in usable])
            scores = measure.pointing_game(chosen, masks[usable])
            found.append({"method": method, "model": title, **scores})
    return found


def _notes(maps: Mapping[tuple[str, str], Sequence[NDArray[np.float32] | str]]) -> list[str]:
    return [
        f"{method} of {title}, image {index + 1}: {item}"
        for (method, title), items in maps.items()
        for index, item in enumerate(items)
        if isinstance(item, str)
    ]
