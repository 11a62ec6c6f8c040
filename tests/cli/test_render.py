"""`kdray render`: what would be applied to Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Kdray = Callable[..., Any]
TARGET = """\
apiVersion: kdray/v1
kind: Target
name: lab
storage: s3://lab/kdray
place:
  kind: kubernetes
  serving:
    keys: {secret: ward-keys, key: keys.yaml}
"""
ROUTE = "    route: {host: a.org}\n    allow_from: [ingress-nginx]\n"
SERVICE = """\
apiVersion: kdray/v1
kind: Service
name: ward
models: [brain]
auth: {file: keys.yaml}
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Return a target of Kubernetes."""
    path = tmp_path / "lab.yaml"
    path.write_text(TARGET)
    return path


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """Return the job file of a service with keys."""
    path = tmp_path / "ward.yaml"
    path.write_text(SERVICE)
    return path


def kinds(text: str) -> list[str]:
    """Return the kinds of the documents of a YAML stream."""
    return [document["kind"] for document in yaml.safe_load_all(text)]


def test_an_experiment_is_shown_in_the_order_in_which_it_is_applied(
    kdray: Kdray, spec: Path, target: Path
) -> None:
    answer = kdray("render", str(spec), "--to", str(target))
    assert answer.code == 0
    assert kinds(answer.out) == ["ConfigMap", "RayJob"]


def test_a_service_is_shown_closed_first_and_published_last(
    kdray: Kdray, service: Path, target: Path
) -> None:
    target.write_text(TARGET + ROUTE)
    found = kinds(kdray("render", str(service), "--to", str(target)).out)
    assert (found[0], found[-1]) == ("NetworkPolicy", "Ingress")
    assert {"RayService", "Service", "PodDisruptionBudget"} <= set(found)


def test_as_json_it_is_a_list_that_kubectl_takes(
    kdray: Kdray, service: Path, target: Path
) -> None:
    shown = json.loads(kdray("render", str(service), "--to", str(target), "--json").out)
    text = kdray("render", str(service), "--to", str(target)).out
    assert (shown["apiVersion"], shown["kind"]) == ("v1", "List")
    assert shown["items"] == list(yaml.safe_load_all(text))


def test_the_same_job_is_shown_alike_each_time(kdray: Kdray, spec: Path, target: Path) -> None:
    texts = {kdray("render", str(spec), "--to", str(target)).out for _ in range(2)}
    assert len(texts) == 1


def test_an_override_is_part_of_it(kdray: Kdray, service: Path, target: Path) -> None:
    answer = kdray("render", str(service), "--to", str(target), "--set", "audit=false")
    assert "audit: false" in answer.out


def test_a_folder_gets_a_file_for_each_object_and_their_list(
    kdray: Kdray, service: Path, target: Path, tmp_path: Path
) -> None:
    answer = kdray("render", str(service), "--to", str(target), "--out", "ward", "--json")
    files = json.loads(answer.out)["files"]
    listed = yaml.safe_load((tmp_path / "ward" / "kustomization.yaml").read_text())["resources"]
    assert files == listed == sorted(listed)
    assert "03-rayservice-ward.yaml" in files
    assert kinds((tmp_path / "ward" / "03-rayservice-ward.yaml").read_text()) == ["RayService"]


def test_what_is_no_longer_rendered_leaves_the_folder(
    kdray: Kdray, service: Path, target: Path, tmp_path: Path
) -> None:
    target.write_text(TARGET + ROUTE)
    kdray("render", str(service), "--to", str(target), "--out", "ward")
    assert (tmp_path / "ward" / "05-ingress-ward.yaml").is_file()
    target.write_text(TARGET)
    kdray("render", str(service), "--to", str(target), "--out", "ward")
    assert not (tmp_path / "ward" / "05-ingress-ward.yaml").exists()


def test_files_of_others_are_left_alone(
    kdray: Kdray, service: Path, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "ward").mkdir()
    own = tmp_path / "ward" / "09-mine.yaml"
    own.write_text("kind: ConfigMap\n")
    assert kdray("render", str(service), "--to", str(target), "--out", "ward").code == 0
    assert own.read_text() == "kind: ConfigMap\n"


def test_a_list_of_others_is_not_overwritten(
    kdray: Kdray, service: Path, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "ward").mkdir()
    (tmp_path / "ward" / "kustomization.yaml").write_text("resources: []\n")
    answer = kdray("render", str(service), "--to", str(target), "--out", "ward")
    assert answer.code == 2
    assert "not by `kdray render`" in answer.err


def test_a_target_without_kubernetes_has_nothing_to_show(kdray: Kdray, spec: Path) -> None:
    answer = kdray("render", str(spec), "--to", "local")
    assert answer.code == 2
    assert "kind local" in answer.err


def test_without_a_storage_that_pods_see_it_is_refused(kdray: Kdray, spec: Path) -> None:
    answer = kdray("render", str(spec))
    assert answer.code == 2
    assert "storage" in answer.err


def test_a_service_open_to_all_is_refused_with_what_to_do(
    kdray: Kdray, service: Path, target: Path
) -> None:
    service.write_text(SERVICE.replace("{file: keys.yaml}", "none"))
    answer = kdray("render", str(service), "--to", str(target))
    assert answer.code == 2
    assert "kdray keys add" in answer.err
    assert answer.out == ""
