"""A job of one teacher and one student, trained once for all tests of its explanations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kdray.plan import Plan
from kdray.run.explain import run_explain
from kdray.run.job import plan_job, run_job
from kdray.run.workers import Here
from kdray.spec import Experiment
from kdray.store import Store

NOWHERE = {"name": "gradcam", "params": {"tap": "nowhere"}}


class Counting(Here):
    """This process, which counts what it is asked to do."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def each(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        self.done += [function.__name__ for _ in calls]
        return super().each(function, calls)


@dataclass
class Explained:
    """A job whose models are trained."""

    job: Experiment
    results: dict[str, Any]
    workers: Counting = field(default_factory=Counting)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return Store(self.job.storage.uri)

    def plan(self, **explain: Any) -> Plan:
        """Return the plan of the job with other settings of its explanations."""
        tree = self.job.model_dump(mode="json")
        tree["explain"] |= explain
        return plan_job(Experiment.model_validate(tree))

    def again(self, **explain: Any) -> dict[str, Any]:
        """Return the result of the step with other settings."""
        plan = self.plan(**explain)
        self.store.delete(plan.explain.path)
        run_explain(plan, self.store, self.workers, self.events.append)
        return self.store.finished(plan.explain.path)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, dict[str, Any]]:
    """The job and its results."""
    folder: Path = tmp_path_factory.mktemp("explained")
    source = {"name": "phantom", "params": {"num_images": 60, "size": 32}}
    big, small = ({"name": "cnn5", "params": {"widths": [width] * 5}} for width in (4, 2))
    job = Experiment.model_validate(
        {
            "apiVersion": "kdray/v1",
            "kind": "Experiment",
            "name": "explained",
            "data": {"source": source, "image_size": 32, "channels": 1},
            "teachers": [{"id": "big", "model": big}],
            "students": [{"id": "small", "model": small}],
            "train": {"teacher": {"epochs": 1}, "student": {"epochs": 1}},
            "search": {"trials": 0},
            "evaluate": {"seeds": 2, "latency_repeats": 1},
            "explain": {"methods": ["gradcam", "featuremaps", NOWHERE], "images": 2, "scored": 4},
            "promote": {"registry": str(folder / "registry")},
            "storage": {"uri": str(folder / "runs")},
        }
    )
    return job, run_job(job, "", here=True)


@pytest.fixture
def explained(whole: tuple[Experiment, dict[str, Any]]) -> Explained:
    """The job, its results, and a way to explain its models again."""
    return Explained(*whole)


@pytest.fixture
def explanations(whole: tuple[Experiment, dict[str, Any]]) -> dict[str, Any]:
    """What the results say of explanations."""
    found: dict[str, Any] = whole[1]["explanations"]
    return found
