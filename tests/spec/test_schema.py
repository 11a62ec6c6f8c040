from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kdray.plan import read_job
from kdray.spec import json_schema
from kdray.spec.yaml import Document

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "docs" / "schema" / "kdray-v1.json"
JOBS = sorted((ROOT / "jobs").rglob("*.yaml"))
JOB: dict[str, Any] = {
    "apiVersion": "kdray/v1",
    "kind": "Experiment",
    "name": "tiny",
    "data": {"source": "phantom"},
    "teachers": ["timm/resnet18"],
    "students": ["cnn5"],
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(json_schema())
    return Draft202012Validator(json_schema())


def properties(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every property below a schema with its path."""
    if isinstance(node, dict):
        for name, field in (node.get("properties") or {}).items():
            yield f"{path}/{name}", field
        for key, value in node.items():
            yield from properties(value, f"{path}/{key}")
    elif isinstance(node, list):
        for item in node:
            yield from properties(item, path)


def described(field: dict[str, Any], schema: dict[str, Any]) -> bool:
    """Return whether a field, or the kind of mapping that stands there, has a description."""
    kind = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
    return bool(field.get("description") or kind.get("description"))


def test_every_field_is_described() -> None:
    schema = json_schema()
    found = dict(properties(schema))
    assert len(found) > 80
    assert [path for path, field in found.items() if not described(field, schema)] == []


def test_the_schema_in_the_docs_is_that_of_the_code() -> None:
    remedy = "run: kdray schema --out docs/schema/kdray-v1.json"
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == json_schema(), remedy


@pytest.mark.parametrize("file", JOBS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_job_file_names_the_schema_and_fits_it(
    file: Path, validator: Draft202012Validator
) -> None:
    text = file.read_text(encoding="utf-8")
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named
    assert (file.parent / named.group(1)).resolve() == COMMITTED
    validator.validate(Document(text, str(file), {}).tree)


@pytest.mark.parametrize("file", JOBS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_job_file_is_valid_in_every_name_and_setting(file: Path) -> None:
    variables = re.findall(r"\$\{(\w+)\}", file.read_text(encoding="utf-8"))
    assert read_job(file, env=dict.fromkeys(variables, "x")).name


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"pairs": "all"},
        {"pairs": [{"teacher": "a", "student": "b"}]},
        {"methods": ["none", {"name": "kd", "search": {"T": {"min": 1, "max": 5}}}]},
        {"teachers": [{"id": "t", "model": {"name": "timm", "params": {"arch": "resnet18"}}}]},
        {"explain": {"methods": ["gradcam", {"name": "scorecam"}]}},
        {"search": {"learning_rate": {"choices": [1e-3, 1e-2]}}},
    ],
)
def test_shortened_and_full_forms_fit_the_schema(
    change: dict[str, Any], validator: Draft202012Validator
) -> None:
    validator.validate({**JOB, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Zebra"},
        {"nam": "x"},
        {"name": "With Spaces"},
        {"students": []},
        {"data": {"source": "phantom", "image_size": "big"}},
        {"train": {"student": {"epoch": 3}}},
        {"methods": [3]},
        {"pairs": "some"},
    ],
)
def test_what_the_loader_refuses_does_not_fit_the_schema(
    change: dict[str, Any], validator: Draft202012Validator
) -> None:
    assert not validator.is_valid({**JOB, **change})


def test_a_service_fits_with_versions_as_names_or_numbers(
    validator: Draft202012Validator,
) -> None:
    models = ["a", "b@3", {"name": "c", "version": 3}, {"name": "d", "version": "champion"}]
    service = {"apiVersion": "kdray/v1", "kind": "Service", "name": "desk", "models": models}
    validator.validate(service)
