"""The one use of the test split: every trained model scored on it, and what each costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray import measure
from kdray.data import Dataset
from kdray.infer import Predictor
from kdray.learn import images_at_once
from kdray.net import Net
from kdray.plan import Plan
from kdray.registry.package import read_package
from kdray.run.ensembles import mean_of, sum_of
from kdray.run.workers import Workers
from kdray.store import Store

Tell = Callable[[dict[str, Any]], None]

#: Scores that get an interval.
SUMMARY = (
    *("accuracy", "macro_f1", "macro_precision", "macro_recall", "auc", "ece", "loss"),
    *("weighted_f1", "weighted_precision", "weighted_recall", "weighted_auc"),
)
#: Scores that are compared with the student alone.
COMPARED = ("accuracy", "macro_f1", "auc", "ece", "loss")

#: Differences that are bootstrapped over images as well as taken over seeds.
BOOTSTRAPPED = ("accuracy", "macro_f1")


@dataclass(frozen=True)
class Entry:
    """A row of the results: one model trained one way, with one run for each seed.

    An ensemble is the mean ``of`` some teachers; its path is none in the storage.
    """

    label: str
    role: str
    model: str
    teacher: str | None
    method: str | None
    paths: tuple[str, ...]
    of: tuple[str, ...] = ()


def entries(plan: Plan) -> list[Entry]:
    """Return the rows of a job's results: teachers, ensembles of them, then the students."""
    teachers = [
        Entry(name, "teacher", name, None, None, (step.path,))
        for name, step in plan.pretrain.items()
    ]
    students = [
        Entry(
            arm.arm.label,
            "student",
            arm.arm.student.id,
            arm.arm.teacher.id if arm.arm.teacher else None,
            arm.arm.method.name,
            tuple(step.path for step in arm.distil),
        )
        for arm in plan.arms
    ]
    together = [
        Entry(item.id, "teacher", item.id, None, None, (f"ensemble/{item.id}",), item.of)
        for item in plan.ensembles
    ]
    return [*teachers, *together, *students]


def run_evaluate(plan: Plan, store: Store, workers: Workers, tell: Tell) -> None:
    """Score every model on the test split and store the results with all logits.

    Args:
        plan: The job's plan; all its models are trained.
        store: The storage.
        workers: They do it.
        tell: Takes events.
    """
    rows = entries(plan)
    paths = [path for row in rows for path in row.paths if not row.of]
    given = (store.uri, plan.prepare.path)
    found: dict[str, dict[str, Any]] = {}
    calls = [(*given, path, workers.device) for path in paths]
    for index, seen in workers.each(_evaluate, calls):
        found[paths[index]] = seen
        _say(plan, tell, len(found), len(paths), "models")
    classes = store.finished(plan.prepare.path)["classes"]
    for row in rows:
        if row.of:
            members = [found[plan.pretrain[name].path] for name in row.of]
            found[row.paths[0]] = mean_of(members, classes)
    costs = _costs(plan, rows, store, workers)
    models = [_row(plan, row, found, costs[row.label]) for row in rows]
    for model in models:
        model["against_alone"] = _against_alone(plan, model, models, found)
    arrays = {
        f"{path.rpartition('/')[2]}|{split}": seen["logits"][split]
        for path, seen in found.items()
        for split in seen["logits"]
    }
    labels = {f"labels|{split}": value for split, value in found[paths[0]]["labels"].items()}
    result = {
        "splits": list(found[paths[0]]["scores"]),
        "models": [_plain(model) for model in models],
    }
    with store.publish(plan.evaluate.path, result) as folder:
        np.savez_compressed(folder / "predictions.npz", **arrays, **labels)


def _evaluate(uri: str, dataset_path: str, path: str, device: str = "cpu") -> dict[str, Any]:
    """Return logits, labels and scores of one model on every split that is no training split."""
    store = Store(uri)
    dataset = Dataset.open(store.fetch(dataset_path))
    predictor = Predictor(store.fetch(path), device)
    seen: dict[str, Any] = {"logits": {}, "labels": {}, "scores": {}}
    for name, indices in _test_splits(dataset).items():
        logits = _logits(predictor, dataset, indices, device)
        labels = dataset.labels[indices]
        seen["logits"][name], seen["labels"][name] = logits, labels
        seen["scores"][name] = measure.scores(logits, labels, dataset.info.classes)
    return seen


def _logits(
    predictor: Predictor, dataset: Dataset, indices: np.ndarray, device: str
) -> NDArray[np.float32]:
    """Return the logits ``[N, C]`` of any number of images, a batch at a time."""
    chunks = -(-len(indices) // images_at_once(dataset.info.image_size, device))
    parts = np.array_split(indices, max(1, chunks))
    return np.concatenate([predictor.logits(dataset.images(part)) for part in parts])


def _test_splits(dataset: Dataset) -> dict[str, np.ndarray]:
    """Return the test splits, and the part of each without a copy in train."""
    found: dict[str, np.ndarray] = {}
    for name in dataset.splits:
        if name in ("train", "val"):
            continue
        indices = dataset.split(name)
        found[name] = indices
        clean = indices[~dataset.leaks[indices]]
        if 0 < len(clean) < len(indices):
            found[f"{name}_clean"] = clean
    return dict(sorted(found.items(), key=lambda item: not item[0].startswith("test")))


def _costs(
    plan: Plan, rows: Sequence[Entry], store: Store, workers: Workers
) -> dict[str, dict[str, Any]]:
    """Measure each row's cost, one after the other so that they do not disturb each other."""
    by_model = {row.model: row.paths[0] for row in rows if not row.of}
    repeats = plan.job.evaluate.latency_repeats
    costs = {
        name: workers.one(_measure_cost, store.uri, path, repeats)
        for name, path in by_model.items()
    }
    costs |= {row.model: sum_of([costs[name] for name in row.of]) for row in rows if row.of}
    return {row.label: costs[row.model] for row in rows}


def _measure_cost(uri: str, path: str, repeats: int) -> dict[str, Any]:
    package = read_package(Store(uri).fetch(path))
    net: Net = package.build()
    return measure.cost(
        net, channels=package.channels, image_size=package.image_size, repeats=repeats
    )


def _row(
    plan: Plan, row: Entry, found: Mapping[str, Mapping[str, Any]], cost: Mapping[str, Any]
) -> dict[str, Any]:
    scores = [found[path]["scores"] for path in row.paths]
    summary = {
        split: {name: _interval(plan, row, found, split, name) for name in SUMMARY}
        for split in scores[0]
    }
    runs = [{"path": path, "scores": found[path]["scores"]} for path in row.paths]
    students = {item.id: item for item in plan.job.students}
    baseline = (students[row.model].baseline or row.model) if row.role == "student" else None
    facts = {"label": row.label, "role": row.role, "model": row.model, "baseline": baseline}
    return {
        **facts,
        **({"of": list(row.of)} if row.of else {}),
        "teacher": row.teacher,
        "method": row.method,
        "runs": runs,
        "summary": summary,
        "cost": dict(cost),
    }


def _interval(
    plan: Plan, row: Entry, found: Mapping[str, Mapping[str, Any]], split: str, name: str
) -> dict[str, Any] | None:
    confidence = plan.job.evaluate.confidence
    values = [found[path]["scores"][split][name] for path in row.paths]
    if any(value is None for value in values):
        return None
    if len(values) > 1:
        return dict(measure.interval(values, confidence))
    seen = found[row.paths[0]]
    return dict(
        measure.bootstrap_interval(seen["logits"][split], seen["labels"][split], name, confidence)
    )


def _against_alone(
    plan: Plan,
    model: Mapping[str, Any],
    models: Iterable[Mapping[str, Any]],
    found: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any] | None:
    """Compare a taught student with its baseline without a teacher, seed by seed."""
    alone = next(
        (
            item
            for item in models
            if (item["model"], item["method"]) == (model["baseline"], "none")
        ),
        None,
    )
    if alone is None or alone is model or model["role"] == "teacher":
        return None
    confidence = plan.job.evaluate.confidence
    return {
        split: {
            name: _difference(model, alone, split, name, confidence, found) for name in COMPARED
        }
        for split in model["summary"]
    }


def _difference(
    model: Mapping[str, Any],
    alone: Mapping[str, Any],
    split: str,
    name: str,
    confidence: float,
    found: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any] | None:
    ours = [run["scores"][split][name] for run in model["runs"]]
    theirs = [run["scores"][split][name] for run in alone["runs"]]
    if any(value is None for value in (*ours, *theirs)):
        return None
    mine, other = (
        [found[run["path"]]["logits"][split] for run in item["runs"]] for item in (model, alone)
    )
    labels = found[model["runs"][0]["path"]]["labels"][split]
    if len(ours) == 1:
        return dict(measure.paired_bootstrap(mine[0], other[0], labels, name, confidence))
    over_seeds = measure.paired_difference(ours, theirs, confidence)
    if name not in BOOTSTRAPPED:
        return dict(over_seeds)
    over_images = measure.paired_bootstrap_of_runs(mine, other, labels, name, confidence)
    return {**over_seeds, "bootstrap": over_images}


def _say(plan: Plan, tell: Tell, done: int, total: int, unit: str) -> None:
    tell(
        {"kind": "progress", "step": plan.evaluate.id, "done": done, "total": total, "unit": unit}
    )


def _plain(value: Any) -> Any:
    """Return the value with NumPy numbers as Python's."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
