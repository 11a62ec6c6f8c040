"""What `kdray plan` says of recordings, and `kdray knowledge`, about one tiny job."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdray.run.job import plan_job, run_job
from kdray.run.prepare import run_prepare
from kdray.spec import Experiment
from kdray.store import Store

Kdray = Callable[..., Any]
JOB = """\
apiVersion: kdray/v1
kind: Experiment
name: tiny
data:
  source: {name: phantom, params: {num_images: 60, size: 32}}
  image_size: 32
  channels: 1
teachers: [{id: big, model: {name: cnn5, params: {widths: [4, 4, 4, 4, 4]}}}]
students: [{id: small, model: {name: cnn5, params: {widths: [2, 2, 2, 2, 2]}}}]
methods: [kd, ikd]
train: {teacher: {epochs: 1}, student: {epochs: 2}}
knowledge: {views: 2}
search: {trials: 0}
evaluate: {seeds: 1, latency_repeats: 1}
explain: {methods: [featuremaps], images: 1}
storage: {uri: lab}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the results of the job, performed once."""
    from kdray.spec import load_job

    folder = tmp_path_factory.mktemp("knowledge")
    (folder / "job.yaml").write_text(JOB)
    places = [f"storage.uri={folder / 'lab'}", f"promote.registry={folder / 'registry'}"]
    job = load_job(folder / "job.yaml", places)
    assert isinstance(job, Experiment)
    run_job(job, JOB, here=True)
    return folder


@pytest.fixture
def lab(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def record(kdray: Kdray, *sets: str) -> dict[str, Any]:
    words = [word for one in sets for word in ("--set", one)]
    answer = kdray("plan", "job.yaml", "--json", *words)
    steps = json.loads(answer.out)["steps"]
    return next(dict(step) for step in steps if step["kind"] == "record")


def test_a_plan_says_what_a_look_takes_before_the_images_are_known(
    kdray: Kdray, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    facts = record(kdray)
    assert (facts["views"], facts["images"], facts["bytes"]) == (2, None, None)
    assert facts["image_bytes"]["logits"] == 4
    assert facts["seconds_an_image"] > 0
    said = kdray("plan", "job.yaml").out
    assert "logits 4 B a class" in said
    assert "What fits knowledge.budget is known once" in said


def test_a_plan_says_what_is_recorded_and_what_is_live_and_why(
    kdray: Kdray, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    from kdray.plan import read_work

    job = read_work(tmp_path / "job.yaml")
    assert isinstance(job, Experiment)
    made = run_prepare(plan_job(job), Store("lab"), lambda event: None)
    images = sum(made["counts"]["train"].values())
    facts = record(kdray)
    maps = {name: size for name, size in facts["columns"].items() if name != "logits"}
    assert facts["left"] == 2 * images
    assert facts["columns"]["logits"] == 2 * images * 4 * len(made["classes"])
    assert facts["bytes"] == facts["columns"]["logits"] + sum(maps.values())
    assert facts["live"] == {}
    short = record(kdray, f"knowledge.budget={sum(maps.values()) - 1}")
    assert list(short["columns"]) == ["logits"]
    assert "small <- big (ikd)" in short["live"]
    said = kdray("plan", "job.yaml", "--set", "knowledge.budget=0").out
    assert "Live, in each step of its training: small <- big (ikd): needs" in said
    assert "timed now on this machine's CPU" in said


def test_a_plan_of_a_recorded_teacher_says_what_it_took(kdray: Kdray, lab: Path) -> None:
    facts = record(kdray)
    assert (facts["state"], facts["left"]) == ("done", 0)
    assert facts["seconds"] > 0
    more = record(kdray, "knowledge.views=null", "train.student.epochs=3")
    assert more["left"] == facts["images"]


def test_records_are_listed_with_the_steps_that_use_them(kdray: Kdray, lab: Path) -> None:
    (found,) = json.loads(kdray("knowledge", "list", "--storage", "lab", "--json").out)
    assert found["teacher"] == "big"
    assert found["views"] == 2
    assert found["dataset"].startswith("prepare/phantom-")
    assert [step.partition("-")[0] for step in found["steps"]] == ["record/big"]
    assert found["bytes"] == sum(found["columns"].values())
    files = (lab / "lab/knowledge").rglob("*.arrow")
    assert found["bytes"] == sum(file.stat().st_size for file in files)
    assert found["key"] in kdray("knowledge", "list", "--storage", "lab").out


def test_used_records_stay_unless_they_are_named(
    kdray: Kdray, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert "Removed 0" in kdray("knowledge", "prune", "--storage", "lab", "--yes").out
    (found,) = json.loads(kdray("knowledge", "list", "--storage", "lab", "--json").out)
    key = found["key"]
    assert kdray("knowledge", "prune", key[:6], "--storage", "lab").code != 0
    assert (lab / "lab/knowledge" / key).exists()
    assert "Removed 1" in kdray("knowledge", "prune", key, "--storage", "lab", "--yes").out
    assert not (lab / "lab/knowledge" / key).exists()
    assert "Nothing is recorded" in kdray("knowledge", "list", "--storage", "lab").out


def test_records_that_no_step_uses_are_removed(kdray: Kdray, lab: Path) -> None:
    for step in (lab / "lab/steps/record").iterdir():
        shutil.rmtree(step)
    gone = kdray("knowledge", "prune", "--storage", "lab", "--yes", "--json")
    assert [item["used"] for item in json.loads(gone.out)] == [False]
    assert list((lab / "lab/knowledge").iterdir()) == []


def test_a_record_of_another_name_is_refused(kdray: Kdray, lab: Path) -> None:
    answer = kdray("knowledge", "prune", "nothing", "--storage", "lab", "--yes")
    assert answer.code != 0
    assert "no records of this name are here" in answer.err


def test_removed_records_are_made_again_for_a_run_that_needs_them(kdray: Kdray, lab: Path) -> None:
    from kdray.run.cached import finished as results
    from kdray.spec import load_job

    shutil.rmtree(lab / "lab/knowledge")
    results.cache_clear()
    sets = ["storage.uri=lab", "promote.registry=registry"]
    same, more = (
        load_job(lab / "job.yaml", [*sets, *extra]) for extra in ([], ["evaluate.seeds=2"])
    )
    assert isinstance(same, Experiment)
    assert isinstance(more, Experiment)
    run_job(same, JOB, here=True)
    assert not (lab / "lab/knowledge").exists()
    run_job(more, JOB, here=True)
    assert len(list((lab / "lab/knowledge").rglob("*.arrow"))) == 2 * 4
