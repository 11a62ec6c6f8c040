"""Jobs, orders and targets for the tests of manifests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdray.launch.place import Order
from kdray.plan.read import read_job
from kdray.spec import Experiment, Suite, Target
from kdray.spec.target import Kubernetes

ROOT = Path(__file__).resolve().parents[3]
SPEC = "apiVersion: kdray/v1\nkind: Experiment\nname: lesions\n"


def given_order(**changes: Any) -> Order:
    """Return an order of an experiment called lesions."""
    facts: dict[str, Any] = {
        "job": "lesions",
        "kind": "Experiment",
        "id": "lesions-0123abcd",
        "spec": SPEC,
        "file": "lesions.yaml",
        "storage": "s3://bucket/runs",
    }
    return Order(**{**facts, **changes})


def given_place(**fields: Any) -> Kubernetes:
    """Return a place of Kubernetes, in the namespace lab."""
    return Kubernetes.model_validate({"kind": "kubernetes", "namespace": "lab", **fields})


def given_target(**fields: Any) -> Target:
    """Return a target of Kubernetes."""
    place = given_place(**fields).model_dump(mode="json")
    return Target.model_validate(
        {"apiVersion": "kdray/v1", "kind": "Target", "name": "lab", "place": place}
    )


def given_job(*sets: str) -> Experiment:
    """Return the quickstart with some fields set otherwise."""
    job = read_job(ROOT / "jobs" / "quickstart.yaml", sets)
    assert isinstance(job, Experiment)
    return job


def given_suite(first: Mapping[str, Any] | None = None, **fields: Any) -> Suite:
    """Return a suite of two experiments, the second, or both, with other resources."""
    base = given_job().model_dump(mode="json", exclude_unset=True)
    return Suite.model_validate(
        {
            "apiVersion": "kdray/v1",
            "kind": "Suite",
            "name": "two",
            "base": {k: v for k, v in base.items() if k not in ("apiVersion", "kind", "name")},
            "experiments": [
                {"name": "small", "set": dict(first or {})},
                {"name": "large", "set": fields},
            ],
        }
    )
