"""The step `record` in whole tiny jobs, in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kdray.errors import RunError
from kdray.run import record
from kdray.run.cached import finished, open_teacher
from kdray.run.job import plan_job, run_job
from kdray.run.survey import recordings
from kdray.spec import Experiment
from kdray.store import Store

HUGE = {"id": "huge", "model": {"name": "cnn5", "params": {"widths": [6] * 5}}}


def job(tiny_job: dict[str, Any], **changes: Any) -> Experiment:
    return Experiment.model_validate({**tiny_job, **changes})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for cached in (finished, open_teacher, record._recorder):
        cached.cache_clear()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the images that each forward pass of a teacher sees, wherever it runs."""
    seen: list[int] = []
    whole = open_teacher.__wrapped__

    def counted(*args: str) -> Any:
        net = whole(*args)
        net.module.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
        return net

    for place in ("kdray.run.record.open_teacher", "kdray.run.teaching.open_teacher"):
        monkeypatch.setattr(place, counted)
    return seen


def run(made: Experiment) -> dict[str, Any]:
    return run_job(made, "", here=True)


def recorded(made: Experiment, teacher: str = "big") -> dict[str, Any]:
    plan = plan_job(made)
    return Store(made.storage.uri).finished(plan.record[teacher].path)


def weights(made: Experiment) -> dict[str, torch.Tensor]:
    """Return the weights of the student that was taught."""
    from safetensors.torch import load_file

    plan = plan_job(made)
    path = plan.arms[-1].distil[0].path
    return load_file(str(Store(made.storage.uri).fetch(path) / "model.safetensors"))


def test_a_teacher_looks_once_at_each_view(tiny_job: dict[str, Any], calls: list[int]) -> None:
    made = job(tiny_job)
    run(made)
    facts = recorded(made)
    images = facts["images"]
    assert sum(calls) == facts["teacher_images"] == 2 * images
    classes = len(Store(made.storage.uri).finished(plan_job(made).prepare.path)["classes"])
    assert facts["columns"]["logits"]["bytes"] == 2 * images * classes * 4
    assert facts["live"] == {}


def test_a_second_job_over_the_same_teacher_and_views_asks_no_teacher(
    tiny_job: dict[str, Any], calls: list[int]
) -> None:
    run(job(tiny_job))
    calls.clear()
    other = job(tiny_job, name="other", methods=["kd", "soft_hard"], evaluate={"seeds": 2})
    run(other)
    assert calls == []


def test_a_job_with_more_views_records_the_further_ones_alone(
    tiny_job: dict[str, Any], calls: list[int]
) -> None:
    made = job(tiny_job)
    run(made)
    images = recorded(made)["images"]
    calls.clear()
    more = job(tiny_job, knowledge={"views": 3})
    run(more)
    assert sum(calls) == recorded(more)["teacher_images"] == images


def test_a_teacher_that_was_trained_again_with_other_weights_is_recorded_anew(
    tiny_job: dict[str, Any], calls: list[int]
) -> None:
    made = job(tiny_job)
    run(made)
    before = recorded(made)
    store, package = Store(made.storage.uri), plan_job(made).pretrain["big"].path
    facts = store.read_json(f"{package}/model.json")
    assert facts is not None
    store.write_json(
        f"{package}/model.json", {**facts, "weights": _damaged(store, package, facts)}
    )
    calls.clear()
    run(job(tiny_job, name="other", evaluate={"seeds": 2}))
    assert recorded(made)["key"] != before["key"]
    assert sum(calls) == before["views"] * before["images"]


def _damaged(store: Store, package: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Change the weights of a package, and return what its description says of them."""
    file = Path(store.path(f"{package}/{facts['weights']['file']}"))
    state = load_file(file)
    save_file(
        {name: value * 0.5 for name, value in state.items() if value.is_floating_point()}, file
    )
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {**facts["weights"], "sha256": digest}


def test_an_interrupted_recording_goes_on_with_what_is_missing(
    tiny_job: dict[str, Any], calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(tiny_job)
    whole = record._record_part
    done: list[int] = []

    def dying(*args: Any) -> int:
        if done:
            raise RunError("", "killed")
        done.append(whole(*args))
        return done[0]

    monkeypatch.setattr(record, "_record_part", dying)
    with pytest.raises(RunError, match="killed"):
        run(made)
    calls.clear()
    monkeypatch.setattr(record, "_record_part", whole)
    run(made)
    facts = recorded(made)
    assert sum(calls) == facts["teacher_images"] == facts["images"]


def test_over_the_same_batches_records_train_the_same_student_as_the_teacher_does(
    tiny_job: dict[str, Any], calls: list[int]
) -> None:
    # All images in one batch of at most 32, as they are recorded.
    student = {"epochs": 3, "batch_size": 32, "per_class": 6}
    train = {"teacher": {"epochs": 1}, "student": student}
    recording = job(tiny_job, train=train)
    run(recording)
    assert recorded(recording)["images"] <= 32
    calls.clear()
    live = job(tiny_job, name="live", train=train, knowledge={"views": 2, "mode": "live"})
    run(live)
    assert plan_job(live).record == {}
    assert len(calls) == 3
    ours, theirs = weights(recording), weights(live)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_does_not_fit_the_budget_is_computed_live_and_logits_stay(
    tiny_job: dict[str, Any], calls: list[int]
) -> None:
    made = job(tiny_job, methods=["kd", "ikd"], knowledge={"views": 2, "budget": 0})
    run(made)
    facts = recorded(made)
    assert list(facts["columns"]) == ["logits"]
    why = facts["live"]["small <- big (ikd)"]
    assert "more, and knowledge.budget has 0 B left" in why
    # Recording two views, then three epochs of the one student that needs the maps.
    assert sum(calls) >= 5 * facts["images"]


def test_maps_that_fit_are_recorded(tiny_job: dict[str, Any], calls: list[int]) -> None:
    made = job(tiny_job, methods=["kd", "ikd"])
    run(made)
    facts = recorded(made)
    assert facts["live"] == {}
    assert any(name.startswith("map/") for name in facts["columns"])
    assert sum(calls) == 2 * facts["images"]


def test_what_a_layer_says_of_single_places_is_recorded_too(tiny_job: dict[str, Any]) -> None:
    resnet = {"name": "timm", "params": {"arch": "resnet10t"}}
    made = job(
        tiny_job,
        teachers=[{"id": "big", "model": resnet}],
        students=[{"id": "small", "model": resnet}],
        methods=["cskd"],
    )
    columns = recordings(plan_job(made), _info(made))["big"].columns
    assert [column.name for column in columns] == ["dense", "logits"]


def test_the_budget_goes_to_the_arms_that_need_least(tiny_job: dict[str, Any]) -> None:
    whole = job(tiny_job, teachers=[*tiny_job["teachers"], HUGE], methods=["ikd", "dfkd"])
    info_of = _info(whole)
    sizes = {
        name: {key: size for key, size in item.column_bytes.items() if key != "logits"}
        for name, item in recordings(plan_job(whole), info_of).items()
    }
    all_of_it = sum(sum(item.values()) for item in sizes.values())
    short = job(
        tiny_job,
        teachers=[*tiny_job["teachers"], HUGE],
        methods=["ikd", "dfkd"],
        knowledge={"views": 2, "budget": all_of_it - 1},
    )
    found = recordings(plan_job(short), info_of)
    live = [label for item in found.values() for label in item.live]
    assert live == ["small <- huge (ikd)"]
    enough = short.model_copy(
        update={"knowledge": short.knowledge.model_copy(update={"budget": all_of_it})}
    )
    fits = recordings(plan_job(enough), info_of)
    assert [label for item in fits.values() for label in item.live] == []


def test_an_ensemble_teaches_from_the_records_of_its_members(
    tiny_job: dict[str, Any], calls: list[int]
) -> None:
    made = job(
        tiny_job,
        teachers=[*tiny_job["teachers"], HUGE],
        ensembles=[{"id": "both", "of": ["big", "huge"]}],
        pairs=[{"teacher": "both", "student": "small"}],
        methods=["kd"],
    )
    results = run(made)
    assert sum(calls) == 2 * 2 * recorded(made)["images"]
    big, huge, both = (model for model in results["models"] if model["role"] == "teacher")
    assert (both["label"], both["of"]) == ("both", ["big", "huge"])
    assert both["cost"]["parameters"] == big["cost"]["parameters"] + huge["cost"]["parameters"]
    store, plan = Store(made.storage.uri), plan_job(made)
    with np.load(store.fetch(plan.evaluate.path) / "predictions.npz") as kept:
        ours, theirs = (
            kept[f"{plan.pretrain[name].path.rpartition('/')[2]}|test"] for name in ("big", "huge")
        )
        labels = kept["labels|test"]
    right = float(np.mean(((ours + theirs) / 2).argmax(axis=1) == labels))
    assert both["runs"][0]["scores"]["test"]["accuracy"] == pytest.approx(right)
    assert "first member big stands for the others (huge)" in results["explanations"]["notes"][0]
    taught = results["models"][-1]
    assert (taught["label"], taught["teacher"]) == ("small <- both (kd)", "both")
    page = store.read("jobs/tiny/report.html")
    assert page is not None
    assert b"small &lt;- both (kd)" in page


def _info(made: Experiment) -> Any:
    from kdray.data import DatasetInfo
    from kdray.run.prepare import run_prepare

    store = Store(made.storage.uri)
    return DatasetInfo.of(run_prepare(plan_job(made), store, lambda event: None))
