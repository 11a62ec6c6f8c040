"""What a job found out, gathered from the results of its steps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import kdray
from kdray.plan import ArmSteps, Plan
from kdray.store import Store


def collect(plan: Plan, store: Store, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Return the results of a finished job, as ``results.json`` holds them.

    Args:
        plan: The job's plan; all its steps have results.
        store: The storage.
        seconds: Time spent on each kind of step.
    """
    evaluated = store.finished(plan.evaluate.path)
    return {
        "job": plan.job.name,
        "description": plan.job.description,
        "select": plan.job.train.select,
        "confidence": plan.job.evaluate.confidence,
        "version": kdray.__version__,
        "code": code_version(),
        "dataset": {**store.finished(plan.prepare.path), "key": plan.prepare.key},
        "splits": evaluated["splits"],
        "models": [_with_runs(model, store) for model in evaluated["models"]],
        **_searched(plan, store),
        "knowledge": _knowledge(plan, store),
        "explanations": store.finished(plan.explain.path),
        "promoted": store.finished(plan.promote.path),
        "steps": [
            {"id": step.id, "kind": step.kind, "label": step.label} for step in plan.steps()
        ],
        "seconds": dict(seconds),
    }


@cache
def code_version() -> str:
    """Return a hash of kdray's source files, 12 hexadecimal digits."""
    root = Path(kdray.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def best_arm(plan: Plan, store: Store) -> tuple[ArmSteps, float]:
    """Return the arm whose students score best on the validation split, and its mean score."""
    select = plan.job.train.select
    means = [
        fmean(store.finished(step.path)["validation"][select] for step in arm.distil)
        for arm in plan.arms
    ]
    best = min(means) if select == "loss" else max(means)
    return plan.arms[means.index(best)], best


def best_run(arm: ArmSteps, store: Store, select: str) -> str:
    """Return the path of an arm's run with the best validation score; the first of equals."""
    scores = [store.finished(step.path)["validation"][select] for step in arm.distil]
    best = min(scores) if select == "loss" else max(scores)
    return arm.distil[scores.index(best)].path


def _with_runs(model: Mapping[str, Any], store: Store) -> dict[str, Any]:
    if "of" in model:  # an ensemble is not trained
        facts: dict[str, Any] = {
            "path": "",
            "seed": None,
            "key": "",
            "best_epoch": "",
            "validation": {},
        }
        runs = [{**run, **facts, "history": []} for run in model["runs"]]
        return {**model, "params": {}, "learning_rate": None, "runs": runs}
    stored = [store.finished(run["path"]) for run in model["runs"]]
    runs = [
        {
            **run,
            **{key: kept[key] for key in ("seed", "key", "best_epoch", "validation", "history")},
        }
        for run, kept in zip(model["runs"], stored, strict=True)
    ]
    return {
        **model,
        "params": stored[0]["params"],
        "learning_rate": stored[0]["train"]["learning_rate"],
        "runs": runs,
    }


def _searched(plan: Plan, store: Store) -> dict[str, Any]:
    """Return the searches, an entry an arm, and what is common to them."""
    if plan.search is None:
        return {"searches": [], "search": None}
    found = store.finished(plan.search.path)
    select, *against = found["objectives"]
    journal = f"jobs/{plan.job.name}/study.journal"
    common = {
        **{name: found[name] for name in ("sampler", "scheduler", "pareto", "budget", "earlier")},
        "select": select,
        "against": against,
        "study": journal if store.exists(journal) else None,  # else another job's search is used
    }
    searches = [_search(select, found["arms"][arm.arm.slug]) for arm in plan.searched]
    return {"searches": searches, "search": common}


def _search(select: str, found: Mapping[str, Any]) -> dict[str, Any]:
    trials = [{name: trial[name] for name in _TRIAL} for trial in found["trials"]]
    return {**found, "select": select, "trials": trials}


#: What results say of a trial; the rest is for the sampler.
_TRIAL = ("number", "params", "values", "score", "state", "costs", "seconds", "error")


def _knowledge(plan: Plan, store: Store) -> dict[str, Any]:
    """Return what was recorded of each teacher, and the ensembles that teach."""
    records = [store.finished(step.path) for step in plan.record.values()]
    return {
        "records": [{name: record[name] for name in _RECORD} for record in records],
        "ensembles": {item.id: list(item.of) for item in plan.ensembles},
    }


#: What results say of a record.
_RECORD = (
    *("teacher", "views", "images", "teacher_images", "bytes", "columns", "live", "seconds"),
    "folder",
)
