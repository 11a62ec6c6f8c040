from __future__ import annotations

from typing import Any

import pytest

from kdray.errors import JobError
from kdray.spec.yaml import Document, scalar


def tree(text: str, **env: str) -> Any:
    return Document(text, "job.yaml", env).tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-2.5e+1", -25.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("7", 7),
        ("-7", -7),
        ("0x1f", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("[1, a]", [1, "a"]),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = scalar(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "word",
    ["yes", "no", "on", "off", "010", "1:30", "2026-01-01", "2026-13-45", "1_000", "=", "1e"],
)
def test_what_only_older_yaml_takes_for_values_are_words(word: str) -> None:
    assert scalar(word) == word


def test_places_are_those_of_values_and_keys() -> None:
    document = Document("a:\n  - b: 1\n    c: 2\n", "job.yaml", {})
    assert document.place(("a", 0, "c")) == "job.yaml:3:8"
    assert document.key_place(("a", 0, "c")) == "job.yaml:3:5"
    assert document.place(("a", 0, "x", "y")) == "job.yaml:2:5"
    assert document.place(()) == "job.yaml:1:1"


def test_a_field_that_stands_twice_is_told_at_the_second() -> None:
    document = Document("a: 1\nb: {c: 1, c: 2}\na: 3\n", "job.yaml", {})
    assert sorted(str(problem) for problem in document.problems) == [
        "job.yaml:2:11: the field 'c' stands here twice. Keep one.",
        "job.yaml:3:1: the field 'a' stands here twice. Keep one.",
    ]


def test_merged_fields_may_be_set_anew() -> None:
    text = "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: {<<: *x}\nd: *x\n"
    document = Document(text, "job.yaml", {})
    assert document.problems == []
    assert document.tree["b"] == {"p": 1, "q": 3}
    assert document.tree["c"] == document.tree["d"] == {"p": 1, "q": 2}


def test_variables_are_filled_into_strings_only() -> None:
    found = tree("a: ${HOME}/x-${N}\nb: [\"${N}\", '$N', 3]\n", HOME="/data", N="5")
    assert found == {"a": "/data/x-5", "b": ["5", "$N", 3]}


def test_a_missing_variable_is_told_with_the_way_out(problems: Any) -> None:
    assert problems("storage: {uri: '${LAB}/runs'}") == [
        "job.yaml:10:16: the environment variable LAB is not set. Set it (export LAB=...), or "
        "write the value here."
    ]


def test_a_missing_variable_that_an_override_replaces_is_not_missed(read: Any) -> None:
    assert read("storage: {uri: '${LAB}'}", sets=["storage.uri=x"]).storage.uri == "x"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: [1, 2\nb: 3\n", "job.yaml:2:2"),
        ("a: 1\n b: 2\n", "job.yaml:2:3"),
        ("a: \tb: c", "job.yaml:1:"),
        ("a: *nowhere", "job.yaml:1:4"),
        ("a: !python/object:os.system x", "job.yaml:1:4"),
        ("a: &x [*x]", "job.yaml:1:4"),
        ("? [a, b]\n: 1\n", "job.yaml:1:3"),
        ("a: {<<: 3}", "job.yaml:1:"),
        ("a: 1\n---\nb: 2\n", "job.yaml:2:1"),
        ("a: \x07", "job.yaml"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_place(text: str, where: str) -> None:
    with pytest.raises(JobError) as caught:
        tree(text)
    assert caught.value.where.startswith(where)
    assert caught.value.problem.startswith("not valid YAML: ")
