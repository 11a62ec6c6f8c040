"""How alike a student's maps are to its teacher's, class by class, in a worker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray import measure
from kdray.run.explained.intervals import means, measured
from kdray.run.explained.scoring import ANSWERS, MAPS
from kdray.store import Store

Maps = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Pair:
    """A student and a teacher whose maps are compared.

    Args:
        uri: The storage.
        label: The student, as tables name it.
        teacher: The teacher.
        of_teacher: Path of its scored explanations.
        of_student: Those of each run of the student.
        methods: Titles of the methods, in the order of both.
        confidence: Level of the intervals.
    """

    uri: str
    label: str
    teacher: str
    of_teacher: str
    of_student: tuple[str, ...]
    methods: tuple[str, ...]
    confidence: float


def compare(pair: Pair) -> list[dict[str, Any]]:
    """Return one row a method that both can do: agreement by class, over all, and of answers.

    A class has the maps of all scored images; a method whose map knows no class, and a data set
    of many classes, have no rows by class.
    """
    store = Store(pair.uri)
    classes = store.finished(pair.of_teacher)["classes"]
    teacher = _maps(store, pair.of_teacher)
    runs = [_maps(store, path) for path in pair.of_student]
    same = [measure.top1_agreement(run[ANSWERS], teacher[ANSWERS]) for run in runs]
    answers = {"top1_agreement": measured(same, pair.confidence)}
    found = []
    for place, method in enumerate(pair.methods):
        theirs = [run[str(place)] for run in runs if str(place) in run]
        if str(place) in teacher and theirs:
            facts = {"method": method, "label": pair.label, "teacher": pair.teacher}
            rows = _rows(teacher[str(place)], theirs, classes, pair.confidence)
            found.append({**facts, "runs": len(theirs), **rows, "answers": answers})
    return found


def _maps(store: Store, path: str) -> Maps:
    with np.load(store.fetch(path) / MAPS) as file:
        return {name: file[name] for name in file.files}


def _rows(
    teacher: NDArray[np.float16],
    students: Iterable[NDArray[np.float16]],
    classes: Iterable[str],
    confidence: float,
) -> dict[str, Any]:
    """Return the agreement of maps ``[N, K, g, g]`` by class and over the classes."""
    num_classes = teacher.shape[1]
    scores: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for student in students:
        by_class = [_alike(teacher[:, k], student[:, k]) for k in range(num_classes)]
        for name in by_class[0]:
            scores[name].append(np.stack([one[name] for one in by_class]))  # [K, N]
    own = {
        label: _measured(_of_class(scores, k), confidence)
        for k, label in enumerate(classes if num_classes > 1 else ())
    }
    whole = {name: [means(run, axis=0) for run in runs] for name, runs in scores.items()}
    return {"classes": own, "all": _measured(whole, confidence)}


def _of_class(
    scores: Mapping[str, list[NDArray[np.float64]]], place: int
) -> dict[str, list[NDArray[np.float64]]]:
    return {name: [run[place] for run in runs] for name, runs in scores.items()}


def _alike(
    teacher: NDArray[np.float16], student: NDArray[np.float16]
) -> dict[str, NDArray[np.float64]]:
    found = measure.map_agreement(teacher.astype(np.float32), student.astype(np.float32))
    return {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}


def _measured(
    scores: Mapping[str, list[NDArray[np.float64]]], confidence: float
) -> dict[str, Any]:
    return {name: measured(runs, confidence) for name, runs in scores.items()}
