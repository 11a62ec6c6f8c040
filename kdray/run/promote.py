"""The best student becomes a version of the registry, with its teacher; the alias moves to it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdray.errors import RegistryError
from kdray.plan import Arm, Plan
from kdray.plan.keys import CODE
from kdray.registry import Registry
from kdray.registry.card import model_card
from kdray.registry.explained import of_model
from kdray.registry.gate import promote_if
from kdray.registry.package import read_package
from kdray.registry.teacher import name_of, write_teacher
from kdray.run.results import best_arm, best_run
from kdray.run.served import VERSION as SERVED
from kdray.run.served import Tell, calibration, fill_serving
from kdray.store import DONE, Store


def run_promote(plan: Plan, store: Store, tell: Tell = lambda event: None) -> None:
    """Register the best student by its validation score; the same plan again adds no version.

    The arm with the best mean validation score over seeds wins, and of its runs the best one.
    The test scores travel along as ``metrics.json`` but choose nothing. Its teacher is registered
    first, and the student's lineage names it.

    Args:
        plan: The job's plan; all its models are trained, measured and explained.
        store: The storage.
        tell: Takes events.
    """
    promote = plan.job.promote
    arm, score = best_arm(plan, store)
    path = best_run(arm, store, plan.job.train.select)
    name = promote.name or plan.job.name
    registry = Registry(promote.registry)
    teacher = _teacher(plan, store, arm.arm, registry, tell)
    key = _key(plan, path)
    version = registry.made_from(name, key)
    if version is None:
        with _filled(plan, store, arm.arm.label, path, tell) as package:
            if teacher is not None:
                write_teacher(package, teacher)
            _write_card(package, name)
            version = registry.add(name, package, key=key)
    result = {
        "name": name,
        "version": version,
        "alias": promote.alias,
        **_moved(plan, registry, name, version),
        "registry": promote.registry,
        "label": arm.arm.label,
        "path": path,
        "rule": f"{plan.job.train.select} on validation, mean over seeds",
        "score": score,
        "teacher": teacher,
    }
    with store.publish(plan.promote.path, result):
        pass


def _moved(plan: Plan, registry: Registry, name: str, version: int) -> dict[str, Any]:
    """Let the alias point at a version that reaches what the job asks; return whether it did.

    Returns:
        ``moved``, ``why_not`` (empty where it moved), ``before`` (the version it pointed at; 0:
        none) and ``conditions`` (``kdray.registry.gate.Condition``).
    """
    promote = plan.job.promote
    before = registry.pointed(name, promote.alias).version
    reason = f"job {plan.job.name}"
    if promote.require.is_empty:
        registry.promote(name, version, promote.alias, note={"reason": reason})
        return {"moved": True, "why_not": "", "before": before, "conditions": []}
    try:
        verdict = promote_if(registry, name, version, promote.require, promote.alias, reason)
    except RegistryError as error:  # a damaged champion is no reason to lose the new version
        return {"moved": False, "why_not": str(error), "before": before, "conditions": []}
    told = {"moved": verdict.passed, "why_not": verdict.why_not(), "before": verdict.before}
    return {**told, "conditions": verdict.facts()}


def _key(plan: Plan, path: str) -> str:
    """Return what a version is made from: the alias, and what it demands, are no part of it."""
    promote = plan.job.promote.model_dump(mode="json", exclude={"require", "alias", "registry"})
    made = [promote, plan.job.name, path, plan.evaluate.key, plan.explain.key, CODE["promote"]]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:16]


def _teacher(
    plan: Plan, store: Store, arm: Arm, registry: Registry, tell: Tell
) -> dict[str, Any] | None:
    """Register the teacher of an arm, of an ensemble the first, and return who it is.

    Its weights are its key, so students that share a teacher share a version.
    """
    if arm.teacher is None:
        return None
    first = arm.teachers[0]
    name = name_of(first)
    path = plan.pretrain[first].path
    sha256 = read_package(store.fetch(path)).weights.sha256
    key = f"{sha256}-{SERVED}"
    version = registry.made_from(name, key)
    if version is None:
        with _filled(plan, store, first, path, tell) as package:
            _write_card(package, name)
            version = registry.add(name, package, key=key)
    registry.promote(name, version)
    members = {"of": list(arm.teachers)} if len(arm.teachers) > 1 else {}
    known = {"id": arm.teacher.id, **members, "name": name, "version": version}
    return {**known, "sha256": sha256, "key": plan.pretrain[first].key}


@contextmanager
def _filled(plan: Plan, store: Store, label: str, path: str, tell: Tell) -> Iterator[Path]:
    """Give a folder with a package, what it is served by, its scores and its explanations."""
    with tempfile.TemporaryDirectory(prefix="kdray-") as parent:
        folder = Path(parent) / "package"
        shutil.copytree(store.fetch(path), folder, ignore=shutil.ignore_patterns(DONE))
        explanations = store.finished(plan.explain.path)
        scored = of_model(explanations, label)
        fill_serving(folder, plan, store, tell)
        metrics = {**_metrics(plan, store, label, path), "explanations": scored}
        metrics["calibration"] = calibration(folder, store.fetch(plan.evaluate.path), path)
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
        (folder / "history.json").write_text(json.dumps(store.finished(path)["history"], indent=1))
        spec = _without_keys(plan.job.model_dump(mode="json"))
        (folder / "job.json").write_text(json.dumps(spec, indent=1))
        for figure in _figures(explanations, store.fetch(plan.explain.path)):
            shutil.copy(figure, folder / figure.name)
        yield folder


def _without_keys(value: Any) -> Any:
    """Return a part of a job without the settings of its URIs, which may hold keys."""
    if isinstance(value, dict):
        return {name: _without_keys(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_keys(one) for one in value]
    is_uri = isinstance(value, str) and "://" in value
    return value.partition("?")[0] if is_uri else value


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


def _metrics(plan: Plan, store: Store, label: str, path: str) -> dict[str, Any]:
    models: list[Mapping[str, Any]] = store.finished(plan.evaluate.path)["models"]
    row = next(model for model in models if model["label"] == label)
    kept = {key: row.get(key) for key in ("label", "summary", "cost", "against_alone")}
    kept["validation"] = store.finished(path).get("validation")  # of this run, not of all seeds
    dataset = {**store.finished(plan.prepare.path), "key": plan.prepare.key}
    return {**kept, "confidence": plan.job.evaluate.confidence, "dataset": dataset}
