from __future__ import annotations

from typing import Any

import pytest


def test_an_override_replaces_makes_and_types_a_value(read: Any) -> None:
    job = read(sets=["name=other", "train.student.learning_rate=1e-3", "search.trials=0"])
    assert job.name == "other"
    assert job.train.student.learning_rate == 0.001
    assert job.search.trials == 0


def test_an_override_may_be_a_list_or_a_mapping(read: Any) -> None:
    job = read(sets=["methods=[none, {name: kd, params: {T: 2}}]"])
    assert job.methods[1].params == {"T": 2}


def test_a_value_may_hold_an_equals_sign(read: Any) -> None:
    job = read(sets=["storage.uri=s3://b/p?endpoint_override=host"])
    assert job.storage.uri == "s3://b/p?endpoint_override=host"


def test_an_item_of_a_list_is_named_by_its_index(read: Any) -> None:
    assert read(sets=["students.0=timm/ghostnet_050"]).students[0].id == "ghostnet-050"


def test_the_index_behind_the_last_item_adds_one(read: Any) -> None:
    job = read(sets=["students.1=timm/ghostnet_050"])
    assert [model.id for model in job.students] == ["cnn5", "ghostnet-050"]


def test_an_override_reaches_into_shortened_parts(read: Any) -> None:
    sets = [
        "teachers.0.model.params.arch=resnet34",
        "teachers.0.weights=imagenet",
        "data.source.params.count=60",
        "methods.0.params.T=2",
    ]
    job = read("methods: [kd]", sets=[*sets[:2], sets[3]])
    assert job.teachers[0].id == "resnet18"
    assert job.teachers[0].model.params == {"arch": "resnet34"}
    assert job.teachers[0].weights == "imagenet"
    assert job.methods[0].params == {"T": 2}


def test_an_override_fills_a_field_that_was_left_empty(read: Any) -> None:
    assert read("train:", sets=["train.student.epochs=3"]).train.student.epochs == 3


def test_later_overrides_win(read: Any) -> None:
    assert read(sets=["search.seed=1", "search.seed=2"]).search.seed == 2


def test_a_wrong_override_is_told_as_one(problems: Any) -> None:
    assert problems(sets=["students.0.model=cnn6", "train.student.epochs=0"]) == [
        "--set train.student.epochs: train.student.epochs: input should be greater than or equal "
        "to 1, not 0.",
        "--set students.0.model: no model is called 'cnn6'. Did you mean 'cnn5'?",
    ]


def test_an_override_of_an_unknown_field_is_told_as_one(problems: Any) -> None:
    assert problems(sets=["trian.student.epochs=3"]) == [
        "--set trian.student.epochs: trian: no such field. Did you mean 'train'?"
    ]


def test_an_override_of_the_kind_is_told_as_one(problems: Any) -> None:
    assert problems(sets=["kind=Experimnt"]) == [
        "--set kind: no job is of kind 'Experimnt'. Did you mean 'Experiment'?"
    ]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("name", "--set name: is no override. Write --set path.to.field=value."),
        ("=3", "--set =3: is no override."),
        ("train..epochs=3", "is no override."),
        ("students.5=cnn5", "there is no item '5' in a list of 1. Items are counted from 0."),
        ("students.-1=cnn5", "there is no item '-1' in a list of 1."),
        ("students.first=cnn5", "there is no item 'first' in a list of 1."),
        ("name.first=x", "there is no place 'first' in the value 'tiny'."),
        ("methods=[kd", "not valid YAML: "),
    ],
)
def test_an_override_that_cannot_be_placed_is_refused(
    item: str, expected: str, problems: Any
) -> None:
    (line,) = problems(sets=[item])
    assert line.startswith(f"--set {item}: ")
    assert expected in line
