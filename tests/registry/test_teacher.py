"""A student's teacher: in the registry, in the storage of its job, or not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdray.errors import RegistryError
from kdray.models import build_model
from kdray.registry import Package, Registry, read_package, teacher_of, write_package
from kdray.registry.teacher import name_of, write_teacher
from kdray.store import Store

WIDTHS = {"widths": [4, 8, 8, 12, 16]}
Make = Callable[[int], Path]


@pytest.fixture
def student(make_package: Make) -> Package:
    return read_package(make_package(1))


@pytest.fixture
def taught(make_package: Make, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """Return a registry that keeps a teacher, and what a student's lineage says of it."""
    folder, uri = make_package(2), str(tmp_path / "registry")
    version = Registry(uri).add("teacher.big", folder, key="weights")
    sha256 = read_package(folder).weights.sha256
    return uri, {"id": "big", "name": "teacher.big", "version": version, "sha256": sha256}


def of(student: Package, teacher: Any, **more: Any) -> Package:
    return replace(student, lineage={**student.lineage, "teacher": teacher, **more})


def stored(store: Store, path: str, info: Any, role: Any, **lineage: Any) -> Package:
    """Return a package that a job has left under a path of its storage."""
    net = build_model("cnn5", WIDTHS, channels=1, classes=3, image_size=32, seed=0)
    with store.publish(path, {}) as folder:
        write_package(
            folder,
            net,
            model={"name": "cnn5", "params": WIDTHS},
            id=path.rpartition("/")[2].partition("-")[0],
            role=role,
            info=info,
            lineage=lineage,
        )
    return read_package(store.fetch(path))


def test_a_promoted_student_names_its_teacher_in_the_registry(
    student: Package, taught: tuple[str, dict[str, Any]]
) -> None:
    uri, facts = taught
    found = teacher_of(of(student, facts), uri)
    assert (found.called, found.note) == ("teacher.big@1", "")
    assert read_package(found.folder).weights.sha256 == facts["sha256"]


def test_the_first_member_of_an_ensemble_stands_for_it_and_that_is_said(
    student: Package, taught: tuple[str, dict[str, Any]]
) -> None:
    uri, facts = taught
    found = teacher_of(of(student, {**facts, "id": "both", "of": ["big", "small"]}), uri)
    assert "ensemble both (big, small)" in found.note


def test_a_teacher_of_other_weights_is_refused(
    student: Package, taught: tuple[str, dict[str, Any]]
) -> None:
    uri, facts = taught
    with pytest.raises(RegistryError, match="not the teacher that the student learnt from"):
        teacher_of(of(student, {**facts, "sha256": "0" * 64}), uri)


def test_a_teacher_of_another_registry_is_missing_and_the_remedy_says_so(
    student: Package, taught: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(RegistryError, match="--registry URI"):
        teacher_of(of(student, taught[1]), str(tmp_path / "empty"))


def test_a_student_in_a_storage_has_the_teacher_that_was_trained_there(
    tmp_path: Path, info: Any
) -> None:
    store = Store(str(tmp_path / "runs"))
    stored(store, "steps/pretrain/big-k1", info, "teacher")
    lineage = {"teacher": "big", "teacher_key": "k1"}
    student = stored(store, "steps/distil/small-k2", info, "student", **lineage)
    found = teacher_of(student)
    assert (found.called, found.folder.name) == ("big", "big-k1")


def test_in_a_storage_the_first_of_several_teachers_stands_for_them(
    tmp_path: Path, info: Any
) -> None:
    store = Store(str(tmp_path / "runs"))
    for name in ("one-k1", "two-k2"):
        stored(store, f"steps/pretrain/{name}", info, "teacher")
    lineage = {"teacher": "both", "teacher_key": "k2+k1"}
    student = stored(store, "steps/distil/small-k3", info, "student", **lineage)
    found = teacher_of(student)
    assert found.called == "two"
    assert "ensemble both (two, 1 more)" in found.note


def test_a_teacher_that_was_removed_from_the_storage_is_said(tmp_path: Path, info: Any) -> None:
    store = Store(str(tmp_path / "runs"))
    lineage = {"teacher": "big", "teacher_key": "k1"}
    student = stored(store, "steps/distil/small-k2", info, "student", **lineage)
    with pytest.raises(RegistryError, match="no longer in this storage"):
        teacher_of(student)


def test_a_student_without_a_teacher_is_said(student: Package) -> None:
    with pytest.raises(RegistryError, match=r"learnt without a teacher.*--against NAME"):
        teacher_of(of(student, None))


def test_a_teacher_has_none(student: Package) -> None:
    with pytest.raises(RegistryError, match="it is one"):
        teacher_of(replace(of(student, None), role="teacher"))


def test_a_student_outside_of_any_storage_has_lost_its_teacher(student: Package) -> None:
    with pytest.raises(RegistryError, match="no storage of a job"):
        teacher_of(of(student, "big", teacher_key="k1"))


def test_writing_the_teacher_changes_nothing_else(student: Package) -> None:
    write_teacher(student.folder, {"id": "big", "version": 3})
    again = read_package(student.folder)
    assert again.lineage == {**student.lineage, "teacher": {"id": "big", "version": 3}}
    assert replace(again, lineage={}) == replace(student, lineage={})


def test_the_name_of_a_teacher_is_allowed_however_long_its_id() -> None:
    assert name_of("resnet18") == "teacher.resnet18"
    assert len(name_of("a" * 54 + "-" + "b" * 8)) <= 63
    assert Registry("unused").versions(name_of("a" * 54 + "-" + "b" * 8)) == []
