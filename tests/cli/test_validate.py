from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Kdray = Callable[..., Any]


def test_a_right_job_is_called_valid(kdray: Kdray, spec: Path) -> None:
    answer = kdray("validate", str(spec))
    assert (answer.code, answer.out, answer.err) == (0, "valid: Experiment tiny\n", "")


def test_a_right_job_as_json_says_what_it_is(kdray: Kdray, spec: Path) -> None:
    answer = kdray("validate", str(spec), "--json")
    assert json.loads(answer.out) == {
        "valid": True,
        "kind": "Experiment",
        "name": "tiny",
        "errors": [],
    }


def test_every_error_has_its_line_and_the_exit_code_is_2(kdray: Kdray, spec: Path) -> None:
    spec.write_text(spec.read_text() + "nam: x\nsearch: {trials: none}\n")
    answer = kdray("validate", str(spec))
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.splitlines() == [
        f"error {spec}:9:1: nam: no such field. Did you mean 'name'?",
        f"error {spec}:10:18: search.trials: input should be a valid integer, not 'none'.",
    ]


def test_errors_as_json_have_places_for_programs(kdray: Kdray, spec: Path) -> None:
    spec.write_text(spec.read_text() + "nam: x\n")
    answer = kdray("validate", str(spec), "--set", "search.trials=none", "--json")
    found = json.loads(answer.out)
    assert answer.code == 2
    assert found["valid"] is False
    first, second = found["errors"]
    assert (first["where"], first["file"], first["line"]) == ("--set search.trials", None, None)
    assert second == {
        "where": f"{spec}:9:1",
        "file": str(spec),
        "line": 9,
        "column": 1,
        "problem": "nam: no such field.",
        "remedy": "Did you mean 'name'?",
    }


def test_a_missing_file_is_an_error_as_well(kdray: Kdray) -> None:
    answer = kdray("validate", "none.yaml", "--json")
    assert answer.code == 2
    assert "cannot be read" in json.loads(answer.out)["errors"][0]["problem"]


def test_names_of_the_papers_models_are_valid_and_near_ones_are_suggested(
    kdray: Kdray, spec: Path
) -> None:
    assert kdray("validate", str(spec), "--set", "students=[ofa_595, hdkd]").code == 0
    answer = kdray("validate", str(spec), "--set", "students=[ofa_59]")
    assert answer.code == 2
    assert "Did you mean 'ofa_595'?" in answer.err
