"""The best student and its teacher in the registry, from the results of the steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from kdray.data import Dataset
from kdray.images import decode
from kdray.models import build_model
from kdray.plan import Plan, make_plan
from kdray.registry import Registry, read_package, teacher_of, write_package
from kdray.registry.serving import read_serving
from kdray.run.prepare import run_prepare
from kdray.run.promote import _without_keys, run_promote
from kdray.spec import Experiment
from kdray.store import Store

WIDTHS = {"widths": [2] * 5}


@dataclass(frozen=True)
class Info:
    classes: tuple[str, ...] = ("none", "ring")
    image_size: int = 32
    channels: int = 1
    mean: tuple[float, ...] = (0.4,)
    std: tuple[float, ...] = (0.2,)


@pytest.fixture
def finished(tiny_job: dict[str, Any]) -> Callable[..., tuple[Plan, Store]]:
    """Return a function: fields of the job, score of each method -> plan and filled storage."""

    def make(scores: dict[str, float], **fields: Any) -> tuple[Plan, Store]:
        source = tiny_job["data"]["source"]
        params = {**source["params"], "classes": ["none", "ring"]}
        data = {**tiny_job["data"], "source": {**source, "params": params}}
        given = {**tiny_job, "data": data, **fields}
        job = Experiment.model_validate_json(json.dumps(given))
        plan, store = make_plan(job, "images"), Store(job.storage.uri)
        runs: list[Any] = [
            (name, step.path, "teacher", {}) for name, step in plan.pretrain.items()
        ]
        for arm in plan.arms:
            keys = "+".join(plan.pretrain[name].key for name in arm.arm.teachers)
            teacher = arm.arm.teacher
            lineage = {"teacher": teacher and teacher.id, "teacher_key": keys or None}
            runs += [(arm.arm.label, step.path, "student", lineage) for step in arm.distil]
        for seed, (label, path, role, lineage) in enumerate(runs):
            score = next((v for name, v in scores.items() if name in label), 0.0)
            publish(store, path, seed, role, lineage, score)
        models = [{"label": label, "summary": {}, "cost": {}} for label, *_ in runs]
        run_prepare(plan, store, lambda event: None)
        with store.publish(plan.evaluate.path, {"models": models}) as folder:
            np.savez(folder / "predictions.npz", **predictions([run[1] for run in runs]))
        with store.publish(plan.explain.path, explained([run[0] for run in runs])) as folder:
            for name in ("explanations.png", "layers.png"):
                (folder / name).write_bytes(name.encode())
        return plan, store

    return make


def explained(labels: list[str]) -> dict[str, Any]:
    rows = [{"method": "gradcam", "label": label, "measures": {}} for label in labels]
    return {"figures": [{"file": "layers.png"}, {"file": "gone.png"}], "scores": rows}


def publish(
    store: Store, path: str, seed: int, role: Any, lineage: dict[str, Any], score: float
) -> None:
    net = build_model("cnn5", WIDTHS, channels=1, classes=2, image_size=32, seed=seed)
    result = {"validation": {"macro_f1": score}, "history": []}
    with store.publish(path, result) as folder:
        model = {"name": "cnn5", "params": WIDTHS}
        who = {"id": path.rpartition("/")[2].partition("-")[0], "role": role}
        write_package(folder, net, model=model, info=Info(), lineage=lineage, **who)


def predictions(paths: list[str]) -> dict[str, Any]:
    """Return the same logits of every run on a test split of 20 images."""
    labels = np.arange(20) % 2
    logits = np.stack([1.0 - labels, labels], axis=1).astype(np.float32)
    runs = {f"{path.rpartition('/')[2]}|test": logits for path in paths}
    return {**runs, "labels|test": labels}


def promoted(plan: Plan, store: Store) -> dict[str, Any]:
    run_promote(plan, store)
    return store.finished(plan.promote.path)


def test_a_promoted_student_names_its_teacher_which_is_registered_too(
    finished: Callable[..., tuple[Plan, Store]],
) -> None:
    plan, store = finished({"(kd)": 0.9, "alone": 0.5})
    result = promoted(plan, store)
    registry = Registry(result["registry"])
    student = read_package(registry.fetch("tiny", 1))
    teacher = student.lineage["teacher"]
    assert (teacher["id"], teacher["name"], teacher["version"]) == ("big", "teacher.big", 1)
    assert result["teacher"] == teacher
    found = read_package(teacher_of(student, registry.uri).folder)
    original = read_package(store.fetch(plan.pretrain["big"].path))
    assert found.weights.sha256 == original.weights.sha256 == teacher["sha256"]
    assert registry.aliases("teacher.big") == {"champion": 1}


def test_promoting_again_adds_no_version_of_student_or_teacher(
    finished: Callable[..., tuple[Plan, Store]],
) -> None:
    plan, store = finished({"(kd)": 0.9})
    registry = Registry(promoted(plan, store)["registry"])
    store.delete(plan.promote.path)
    run_promote(plan, store)
    assert (registry.versions("tiny"), registry.versions("teacher.big")) == ([1], [1])


def test_two_students_of_one_teacher_share_its_version(
    finished: Callable[..., tuple[Plan, Store]],
) -> None:
    registry = Registry(promoted(*finished({"(kd)": 0.9}))["registry"])
    promoted(*finished({"(kd)": 0.9}, name="other"))
    assert registry.names() == ["other", "teacher.big", "tiny"]
    assert registry.versions("teacher.big") == [1]


def test_a_student_that_learnt_alone_brings_no_teacher(
    finished: Callable[..., tuple[Plan, Store]],
) -> None:
    result = promoted(*finished({"(kd)": 0.2, "alone": 0.5}))
    registry = Registry(result["registry"])
    assert (registry.names(), result["teacher"]) == (["tiny"], None)
    assert read_package(registry.fetch("tiny", 1)).lineage["teacher"] is None


def test_of_an_ensemble_the_first_member_is_registered(
    finished: Callable[..., tuple[Plan, Store]], tiny_job: dict[str, Any]
) -> None:
    teachers = [{**tiny_job["teachers"][0], "id": name} for name in ("one", "two")]
    teachers[1]["model"] = {"name": "cnn5", "params": {"widths": [3] * 5}}
    ensembles = [{"id": "both", "of": ["one", "two"]}]
    pairs = [{"student": "small", "teacher": "both"}]
    plan, store = finished({"(kd)": 0.9}, teachers=teachers, ensembles=ensembles, pairs=pairs)
    teacher = promoted(plan, store)["teacher"]
    assert (teacher["id"], teacher["of"], teacher["name"]) == (
        "both",
        ["one", "two"],
        "teacher.one",
    )


def test_scores_and_figures_of_explanations_travel_with_student_and_teacher(
    finished: Callable[..., tuple[Plan, Store]],
) -> None:
    result = promoted(*finished({"(kd)": 0.9}))
    registry = Registry(result["registry"])
    for name, label in (("tiny", result["label"]), ("teacher.big", "big")):
        folder = registry.fetch(name, 1)
        [row] = read_package(folder).metrics()["explanations"]["scores"]
        assert row["label"] == label
        assert (folder / "layers.png").read_bytes() == b"layers.png"
        assert (folder / "explanations.png").exists()


def asking(job: dict[str, Any], **require: float) -> dict[str, Any]:
    return {"promote": {**job["promote"], "require": require}}


def test_a_version_that_falls_short_is_registered_and_the_alias_stays(
    finished: Callable[..., tuple[Plan, Store]], tiny_job: dict[str, Any]
) -> None:
    first = promoted(*finished({"(kd)": 0.9}))
    assert (first["moved"], first["why_not"], first["before"]) == (True, "", 0)
    asked = asking(tiny_job, min_macro_f1=0.95, max_latency_ms=5.0)
    longer = {"teacher": {"epochs": 1}, "student": {"epochs": 4}}
    later = promoted(*finished({"(kd)": 0.9}, train=longer, **asked))
    registry = Registry(later["registry"])
    assert (later["version"], later["moved"], later["before"]) == (2, False, 1)
    assert "min_macro_f1 is 0.9, required at least 0.95 (validation split)" in later["why_not"]
    assert "max_latency_ms is not known" in later["why_not"]
    assert [c["passed"] for c in later["conditions"]] == [False, False]
    assert registry.versions("tiny") == [1, 2]
    assert registry.aliases("tiny") == {"champion": 1}


def test_what_is_asked_of_a_version_makes_no_other_version_of_it(
    finished: Callable[..., tuple[Plan, Store]], tiny_job: dict[str, Any]
) -> None:
    strict, mild = (asking(tiny_job, min_macro_f1=limit) for limit in (0.95, 0.85))
    assert not promoted(*finished({"(kd)": 0.9}, **strict))["moved"]
    plan, store = finished({"(kd)": 0.9}, **mild)
    result = promoted(plan, store)
    assert (result["version"], result["moved"]) == (1, True)
    (move,) = Registry(result["registry"]).history("tiny")
    assert (move["reason"], move["conditions"]) == ("job tiny", result["conditions"])


def test_the_package_keeps_the_validation_scores_of_its_own_run(
    finished: Callable[..., tuple[Plan, Store]],
) -> None:
    result = promoted(*finished({"(kd)": 0.9}))
    facts = Registry(result["registry"]).describe("tiny", 1)
    assert facts["metrics"]["validation"] == {"macro_f1": 0.9}


def test_student_and_teacher_are_served_by_what_the_jobs_images_tell(
    finished: Callable[..., tuple[Plan, Store]],
) -> None:
    plan, store = finished({"(kd)": 0.9})
    registry = Registry(promoted(plan, store)["registry"])
    dataset = Dataset.open(store.fetch(plan.prepare.path))
    validation, train = (dataset.split(name) for name in ("val", "train"))
    for name in ("tiny", "teacher.big"):
        serving = read_serving(registry.fetch(name, 1))
        kept = serving.read_validation()
        assert kept is not None
        np.testing.assert_array_equal(kept["labels"], dataset.labels[validation])
        first = hashlib.sha256(dataset.images(validation[:1])[0].tobytes()).digest()
        assert kept["images"][0].tobytes() == first
        assert serving.confidence is not None
        assert serving.confidence["ood_bank"] == len(train)
        assert serving.samples == ()


def test_the_confidence_is_measured_on_the_test_split_that_chose_nothing_of_it(
    finished: Callable[..., tuple[Plan, Store]],
) -> None:
    registry = Registry(promoted(*finished({"(kd)": 0.9}))["registry"])
    facts = registry.describe("tiny", 1)
    measured = facts["metrics"]["calibration"]["test"]
    assert measured["images"] == 20
    # All right with logits 1 and 0: e / (e + 1) sure, and every set holds the true class.
    assert measured["ece_before"] == pytest.approx(1 - np.e / (np.e + 1), abs=1e-6)
    assert measured["coverage"]["0.9"]["measured"] == 1.0
    assert facts["serving"]["confidence"]["validation_images"] > 0


def test_samples_are_validation_images_of_all_classes_if_the_job_wants_some(
    finished: Callable[..., tuple[Plan, Store]], tiny_job: dict[str, Any]
) -> None:
    plan, store = finished({"(kd)": 0.9}, promote={**tiny_job["promote"], "samples": 3})
    folder = Registry(promoted(plan, store)["registry"]).fetch("tiny", 1)
    dataset = Dataset.open(store.fetch(plan.prepare.path))
    validation = {image.tobytes() for image in dataset.images(dataset.split("val"))}
    samples = read_serving(folder).samples
    assert [item.class_ for item in samples] == ["none", "ring", "none"]
    shown = {decode((folder / item.file).read_bytes()).tobytes() for item in samples}
    assert len(shown) == 3
    assert shown <= validation


def test_the_job_travels_with_its_models(finished: Callable[..., tuple[Plan, Store]]) -> None:
    plan, store = finished({"(kd)": 0.9})
    registry = Registry(promoted(plan, store)["registry"])
    for name in ("tiny", "teacher.big"):
        kept = json.loads(registry.read(name, 1, "job.json") or b"{}")
        assert Experiment.model_validate_json(json.dumps(kept)) == plan.job


def test_the_keys_of_a_storage_stay_behind() -> None:
    uri = "s3://bucket/lab?secret_key=x"
    kept = _without_keys({"storage": {"uri": uri}, "with": [uri, 1, "a?b"]})
    assert kept == {"storage": {"uri": "s3://bucket/lab"}, "with": ["s3://bucket/lab", 1, "a?b"]}


def test_a_promotion_says_how_far_it_is(finished: Callable[..., tuple[Plan, Store]]) -> None:
    plan, store = finished({"alone": 0.9})
    events: list[dict[str, Any]] = []
    run_promote(plan, store, events.append)
    assert {event["kind"] for event in events} == {"progress"}
    assert events[-1]["done"] == events[-1]["total"]
    assert events[-1]["step"] == plan.promote.id
