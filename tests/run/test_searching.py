from __future__ import annotations

from typing import Any

import pytest

from kdray.data import prepare
from kdray.plan import Plan
from kdray.run.job import plan_job
from kdray.run.searching import searching
from kdray.run.workers import Here
from kdray.spec import Experiment
from kdray.store import Store


@pytest.fixture
def plan(tiny_job: dict[str, Any]) -> Plan:
    """Return the plan of a job with a search of two students, its data set prepared."""
    wide = {"id": "wide", "model": {"name": "cnn5", "params": {"widths": [8] * 5}}}
    tiny_job["students"].append(wide)
    tiny_job["search"] = {
        "trials": 3,
        "epochs": 2,
        "against": ["macs", "parameters"],
        "learning_rate": {"min": 1e-4, "max": 1e-2, "log": True},
    }
    made = plan_job(Experiment.model_validate(tiny_job))
    store = Store(made.job.storage.uri)
    result: dict[str, Any] = {}
    with store.publish(made.prepare.path, result) as folder:
        result.update(prepare(made.job.data, folder))
    return made


def test_the_search_of_a_plan_has_its_arms_with_costs_and_first_settings(plan: Plan) -> None:
    found = searching(plan, Store(plan.job.storage.uri), Here())
    assert found is not None
    labels = ["small alone", "small <- big (kd)", "wide alone", "wide <- big (kd)"]
    assert [arm.label for arm in found.arms] == labels
    small, wide = found.arms[0].costs, found.arms[2].costs
    assert found.arms[1].costs == small
    assert small["macs"] < wide["macs"]
    assert small["parameters"] < wide["parameters"]
    assert found.arms[1].first() == {"alpha": 0.5, "T": 4.0, "learning_rate": 0.001}
    assert found.epochs == 2
    assert found.runs[found.arms[3].slug].model.id == "wide"
    assert found.runs[found.arms[3].slug].train.epochs == 2


def test_costs_are_measured_once(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(plan.job.storage.uri)
    first = searching(plan, store, Here())
    monkeypatch.setattr("kdray.run.searching._price", None)
    again = searching(plan, store, Here())
    assert first is not None
    assert again is not None
    assert [arm.costs for arm in again.arms] == [arm.costs for arm in first.arms]


def test_a_search_that_is_done_is_not_searched_again(plan: Plan) -> None:
    store = Store(plan.job.storage.uri)
    assert plan.search is not None
    with store.publish(plan.search.path, {}):
        pass
    assert searching(plan, store, Here()) is None
