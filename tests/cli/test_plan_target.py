from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Kdray = Callable[..., Any]

GROUPS = "[{name: cpu, min: 1, max: 2, cpus: 4}, {name: gpu, max: 2, cpus: 4, gpus: 1}]"
GROWING = ("--set", "resources.autoscale=true", "--set", "search.concurrent=1")


@pytest.fixture(autouse=True)
def lab(kdray: Kdray, spec: Path) -> Path:
    """Return a target file beside the job file; the job has one student and no search."""
    spec.write_text(
        spec.read_text()
        .replace("methods: []", "methods: [none]\nsearch: {trials: 0}")
        .replace("timm/resnet18", "cnn5")
        .replace("timm/mobilenetv3_small_050", "{id: small, model: cnn5}")
    )
    path = spec.parent / "lab.yaml"
    path.write_text(
        "apiVersion: kdray/v1\nkind: Target\nname: lab\nstorage: /lab/runs\n"
        f"place: {{kind: kubernetes, autoscale: true, groups: {GROUPS},\n"
        "  secret_environment: {KEYS: {secret: keys, key: keys}},\n"
        "  volumes: [{claim: lab, path: /lab, read_only: false}]}\n"
    )
    return path


def test_plan_shows_what_each_stage_asks_of_a_target(kdray: Kdray) -> None:
    said = kdray("plan", "job.yaml", "--to", "lab.yaml", *GROWING)
    assert (said.code, said.err) == (0, "")
    table = said.out.partition("On lab")[2]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines()]
    assert ["distil", "3 processes of 1 CPU", "-", "3"] in rows
    assert "Storage: /lab/runs" in said.out  # where the target keeps what has none of its own


def test_plan_tells_programs_which_nodes_are_brought_up(kdray: Kdray) -> None:
    words = ("plan", "job.yaml", "--to", "lab.yaml", "--json", *GROWING)
    found = json.loads(kdray(*words, "--set", "resources.gpus_per_worker=1").out)["target"]
    assert (found["name"], found["kind"], found["problem"]) == ("lab", "kubernetes", "")
    stages = {stage["stage"]: stage for stage in found["stages"]}
    assert stages["distil"]["launched"] == {"gpu": 2}
    assert (stages["distil"]["count"], stages["distil"]["runs"], stages["distil"]["waits"]) == (
        *(3, 2, 1),
    )


@pytest.mark.parametrize("verb", ["plan", "submit"])
def test_what_can_never_be_scheduled_is_refused(kdray: Kdray, verb: str) -> None:
    asked = ("--set", "resources.gpus_per_worker=2")
    said = kdray(verb, "job.yaml", "--to", "lab.yaml", *GROWING, *asked)
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "1 CPU and 2 GPU; there is room for none" in said.err
    assert "Lower resources.workers, cpus_per_worker or gpus_per_worker" in said.err


def test_without_a_target_nothing_is_said_of_one(kdray: Kdray) -> None:
    said = kdray("plan", "job.yaml", "--json")
    assert "target" not in json.loads(said.out)


def test_the_usual_target_counts_where_none_is_named(
    kdray: Kdray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDRAY_TARGET", "lab.yaml")
    assert json.loads(kdray("plan", "job.yaml", "--json").out)["target"]["name"] == "lab"


def test_a_cluster_that_does_not_answer_hides_no_steps(kdray: Kdray) -> None:
    words = ("plan", "job.yaml", "--to", "http://127.0.0.1:9", "--set", "storage.uri=/tmp/runs")
    said = kdray(*words)
    assert said.code == 0
    assert "On ray: Ray at http://127.0.0.1:9: does not answer" in said.out
    assert "prepare" in said.out


def test_images_that_only_the_cluster_has_hide_no_room(kdray: Kdray, spec: Path) -> None:
    spec.write_text(
        spec.read_text().replace(
            "source: phantom", "source: {name: folder, params: {path: /lab/images}}"
        )
    )
    said = kdray("plan", "job.yaml", "--to", "lab.yaml", "--json")
    assert said.code == 0
    assert "/lab/images" in said.err
    found = json.loads(said.out)
    assert (found["job"], found["steps"]) == ("tiny", [])
    assert found["target"]["stages"]
    assert kdray("plan", "job.yaml").code == 1


def test_a_storage_that_only_the_cluster_reaches_hides_no_room(
    kdray: Kdray, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    lab.write_text(lab.read_text().replace("storage: /lab/runs", "storage: s3://lab/runs"))
    said = kdray("plan", "job.yaml", "--to", "lab.yaml", *GROWING)
    assert said.code == 0
    assert "http://127.0.0.1:9 does not answer" in said.err
    assert "So its steps cannot be told here." in said.err
    assert "3 processes of 1 CPU" in said.out
    assert kdray("plan", "job.yaml", "--set", "storage.uri=s3://lab/runs").code == 1


def test_a_service_has_room_and_no_steps(kdray: Kdray, spec: Path) -> None:
    spec.write_text(
        "apiVersion: kdray/v1\nkind: Service\nname: scans\nmodels: [scan]\n"
        "auth: {environment: KEYS}\nregistry: /lab/registry\nstorage: /lab/runs\n"
    )
    said = kdray("plan", "job.yaml", "--to", "lab.yaml", "--json")
    stages = json.loads(said.out)["target"]["stages"]
    assert [(stage["stage"], stage["what"], stage["count"]) for stage in stages] == [
        ("serve", "replica", 2)
    ]
    assert kdray("plan", "job.yaml").code == 2
