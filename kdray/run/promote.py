"""The best student becomes a version of the registry, with its teacher; the alias moves to it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdray.plan import Arm, Plan
from kdray.registry import Registry
from kdray.registry.card import model_card
from kdray.registry.explained import of_model
from kdray.registry.package import read_package
from kdray.registry.teacher import name_of, write_teacher
from kdray.run.results import best_arm, best_run
from kdray.store import DONE, Store


def run_promote(plan: Plan, store: Store) -> None:
    """Register the best student by its validation score; the same plan again adds no version.

    The arm with the best mean validation score over seeds wins, and of its runs the best one.
    The test scores travel along as ``metrics.json`` but choose nothing. Its teacher is registered
    first, and the student's lineage names it.
    """
    promote = plan.job.promote
    arm, score = best_arm(plan, store)
    path = best_run(arm, store, plan.job.train.select)
    name = promote.name or plan.job.name
    registry = Registry(promote.registry)
    teacher = _teacher(plan, store, arm.arm, registry)
    with _filled(plan, store, arm.arm.label, path) as package:
        if teacher is not None:
            write_teacher(package, teacher)
        _write_card(package, name)
        version = registry.add(name, package, key=plan.promote.key)
    registry.promote(name, version, promote.alias)
    result = {
        "name": name,
        "version": version,
        "alias": promote.alias,
        "registry": promote.registry,
        "label": arm.arm.label,
        "path": path,
        "rule": f"{plan.job.train.select} on validation, mean over seeds",
        "score": score,
        "teacher": teacher,
    }
    with store.publish(plan.promote.path, result):
        pass


def _teacher(plan: Plan, store: Store, arm: Arm, registry: Registry) -> dict[str, Any] | None:
    """Register the teacher of an arm, of an ensemble the first, and return who it is.

    Its weights are its key, so students that share a teacher share a version.
    """
    if arm.teacher is None:
        return None
    first = arm.teachers[0]
    name = name_of(first)
    with _filled(plan, store, first, plan.pretrain[first].path) as package:
        _write_card(package, name)
        sha256 = read_package(package).weights.sha256
        version = registry.add(name, package, key=sha256)
    registry.promote(name, version)
    members = {"of": list(arm.teachers)} if len(arm.teachers) > 1 else {}
    known = {"id": arm.teacher.id, **members, "name": name, "version": version}
    return {**known, "sha256": sha256, "key": plan.pretrain[first].key}


@contextmanager
def _filled(plan: Plan, store: Store, label: str, path: str) -> Iterator[Path]:
    """Give a folder with a package, its scores, its history and its explanations."""
    with tempfile.TemporaryDirectory(prefix="kdray-") as parent:
        folder = Path(parent) / "package"
        shutil.copytree(store.fetch(path), folder, ignore=shutil.ignore_patterns(DONE))
        explanations = store.finished(plan.explain.path)
        metrics = {**_metrics(plan, store, label), "explanations": of_model(explanations, label)}
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
        (folder / "history.json").write_text(json.dumps(store.finished(path)["history"], indent=1))
        for figure in _figures(explanations, store.fetch(plan.explain.path)):
            shutil.copy(figure, folder / figure.name)
        yield folder


def _figures(explanations: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    names = [figure["file"] for figure in explanations.get("figures") or ()]
    for name in dict.fromkeys(["explanations.png", *names]):
        if (folder / name).is_file():
            yield folder / name


def _write_card(folder: Path, title: str) -> None:
    package = read_package(folder)
    (folder / "card.md").write_text(
        model_card(package, package.metrics(), title), encoding="utf-8"
    )


def _metrics(plan: Plan, store: Store, label: str) -> dict[str, Any]:
    models: list[Mapping[str, Any]] = store.finished(plan.evaluate.path)["models"]
    row = next(model for model in models if model["label"] == label)
    kept = {key: row.get(key) for key in ("label", "summary", "cost", "against_alone")}
    dataset = {**store.finished(plan.prepare.path), "key": plan.prepare.key}
    return {**kept, "confidence": plan.job.evaluate.confidence, "dataset": dataset}
