from __future__ import annotations

import copy
from typing import Any

import pytest

from kdray import parts
from kdray.errors import JobError
from kdray.spec import Suite, parse_job

TEXT = """\
apiVersion: kdray/v1
kind: Suite
name: few
base:
  data: {source: phantom, image_size: 32}
  teachers: [{id: t, model: cnn5}]
  students: [cnn5]
experiments:
  - {name: n5, set: {train.student.per_class: 5}}
  - {name: deep, set: {students.0.model.params.widths: [1, 2, 3, 4, 5], methods: [none]}}
tables:
  - title: Few
    source: Nobody, Table 1
    columns:
      - {title: five, experiment: n5, unit: "%"}
      - {title: deep, experiment: deep}
    rows:
      - {title: alone, student: cnn5, method: none, published: [76.5, null]}
"""


def read(text: str = TEXT, *sets: str, env: dict[str, str] | None = None) -> Suite:
    job = parse_job(text, "suite.yaml", sets, env or {}, parts.check)
    assert isinstance(job, Suite)
    return job


def problems(text: str) -> list[str]:
    with pytest.raises(JobError) as caught:
        read(text)
    return str(caught.value).splitlines()


def test_each_experiment_is_the_base_with_its_own_fields() -> None:
    five, deep = read().expanded()
    assert (five.name, deep.name) == ("few.n5", "few.deep")
    assert (five.train.student.per_class, deep.train.student.per_class) == (5, None)
    assert five.students[0].model.params == {}
    assert deep.students[0].model.params == {"widths": [1, 2, 3, 4, 5]}
    assert [method.name for method in deep.methods] == ["none"]
    assert five.data == deep.data


def test_an_override_reaches_every_experiment() -> None:
    assert {job.data.image_size for job in read(TEXT, "base.data.image_size=64").expanded()} == {
        64
    }


def test_a_suite_survives_being_kept_as_json() -> None:
    suite = read()
    again = Suite.model_validate(suite.model_dump(mode="json"))
    assert again == suite
    assert again.expanded() == suite.expanded()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "per_class: 5",
            "per_clas: 5",
            "suite.yaml:9:22: train.student.per_clas: no such field. Did you mean 'per_class'?",
        ),
        (
            "image_size: 32",
            "image_size: many",
            "suite.yaml:5:39: data.image_size: input should be a valid integer, not 'many'.",
        ),
        (
            "methods: [none]",
            "methods: [nome]",
            "suite.yaml:10:83: no method is called 'nome'. Did you mean 'none'?",
        ),
        (
            "{train.student.per_class: 5}",
            "{students.7.id: x}",
            "suite.yaml:9:21: set students.7.id: there is no item '7' in a list of 1. "
            "Items are counted from 0.",
        ),
        (
            "{train.student.per_class: 5}",
            "{storage.uri: elsewhere}",
            "suite.yaml:1:1: job: experiments cannot set storage.uri: it is the suite's, for all "
            "of them.",
        ),
        ("name: deep,", "name: n5,", "suite.yaml:1:1: job: two experiments are called 'n5'."),
        (
            "experiment: deep}",
            "experiment: dep}",
            "suite.yaml:1:1: job: no experiment is called 'dep': n5, deep.",
        ),
        (
            "[76.5, null]",
            "[76.5]",
            "suite.yaml:12:5: tables.0: row 'alone' has 1 published numbers for 2 columns.",
        ),
    ],
)
def test_a_mistake_is_told_where_the_suite_makes_it(old: str, new: str, expected: str) -> None:
    assert old in TEXT
    assert expected in problems(TEXT.replace(old, new))


def test_the_base_and_the_experiments_are_checked_together() -> None:
    text = TEXT.replace("image_size: 32", "image_siz: 32").replace("source: Nob", "sorce: Nob")
    assert [line.split(": ", 1)[0] for line in problems(text)] == [
        "suite.yaml:5:27",
        "suite.yaml:12:5",
        "suite.yaml:13:5",
    ]


def test_a_name_without_value_has_its_default() -> None:
    text = TEXT.replace("phantom", "{name: folder, params: {path: '${SCANS:-data/scans}'}}")
    assert read(text).base["data"]["source"]["params"]["path"] == "data/scans"
    given = copy.copy(read(text, env={"SCANS": "/scans"}))
    assert given.base["data"]["source"]["params"]["path"] == "/scans"


def test_a_variable_without_default_must_be_set() -> None:
    text: Any = TEXT.replace("phantom", "{name: folder, params: {path: '${SCANS}'}}")
    assert "SCANS is not set" in problems(text)[0]
