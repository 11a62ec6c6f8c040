"""The best student becomes a version of the registry, and the alias moves to it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdray.plan import Plan
from kdray.registry import Registry
from kdray.registry.card import model_card
from kdray.registry.package import read_package
from kdray.run.results import best_arm, best_run
from kdray.store import DONE, Store


def run_promote(plan: Plan, store: Store) -> None:
    """Register the best student by its validation score; the same plan again adds no version.

    The arm with the best mean validation score over seeds wins, and of its runs the best one.
    The test scores travel along as ``metrics.json`` but choose nothing.
    """
    promote = plan.job.promote
    arm, score = best_arm(plan, store)
    path = best_run(arm, store, plan.job.train.select)
    name = promote.name or plan.job.name
    registry = Registry(promote.registry)
    with tempfile.TemporaryDirectory(prefix="kdray-") as folder:
        package = _filled(Path(folder) / "package", plan, store, arm.arm.label, path)
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
    }
    with store.publish(plan.promote.path, result):
        pass


def _filled(folder: Path, plan: Plan, store: Store, label: str, path: str) -> Path:
    """Return a folder with the package, its scores, its card and its explanations."""
    shutil.copytree(store.fetch(path), folder, ignore=shutil.ignore_patterns(DONE))
    metrics = _metrics(plan, store, label)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
    (folder / "history.json").write_text(json.dumps(store.finished(path)["history"], indent=1))
    figure = store.fetch(plan.explain.path) / "explanations.png"
    if figure.exists():
        shutil.copy(figure, folder / "explanations.png")
    package = read_package(folder)
    card = model_card(package, metrics, plan.job.promote.name or plan.job.name)
    (folder / "card.md").write_text(card, encoding="utf-8")
    return folder


def _metrics(plan: Plan, store: Store, label: str) -> dict[str, Any]:
    models: list[Mapping[str, Any]] = store.finished(plan.evaluate.path)["models"]
    row = next(model for model in models if model["label"] == label)
    kept = {key: row[key] for key in ("label", "summary", "cost", "against_alone")}
    dataset = {**store.finished(plan.prepare.path), "key": plan.prepare.key}
    return {**kept, "confidence": plan.job.evaluate.confidence, "dataset": dataset}
