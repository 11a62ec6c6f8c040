"""The package that taught a student, found by the student's lineage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdray.errors import RegistryError
from kdray.registry.package import MANIFEST, Package, read_package
from kdray.registry.versions import Registry
from kdray.store import DONE

_OTHER = "Name the model to compare with: --against NAME or --against FOLDER."


@dataclass(frozen=True)
class Found:
    """A teacher's package.

    Args:
        folder: Where it lies.
        called: What to call it: ``name@version`` of the registry, or its id.
        note: What a reader should know of the choice; empty where nothing.
    """

    folder: Path
    called: str
    note: str = ""


def teacher_of(student: Package, registry: str = "registry") -> Found:
    """Return the package of the teacher that a student learnt from.

    A promoted student names its teacher in the registry; a student in the storage of a job names
    the step that trained it there.

    Args:
        student: The student.
        registry: URI of the registry, for students that were promoted.

    Raises:
        RegistryError: It learnt without a teacher, or the teacher is not there.
    """
    lineage = student.lineage
    teacher = lineage.get("teacher")
    if not teacher:
        problem = f"{student.id} has no teacher: it is one."
        if student.role == "student":
            problem = f"{student.id} learnt without a teacher."
        raise RegistryError(str(student.folder), problem, _OTHER)
    if isinstance(teacher, Mapping) and "version" in teacher:
        return _registered(teacher, registry)
    name = str(teacher["id"] if isinstance(teacher, Mapping) else teacher)
    return _stored(student, name, str(lineage.get("teacher_key") or ""))


def name_of(teacher: str) -> str:
    """Return the name under which the registry keeps a teacher of a job.

    Args:
        teacher: Its id in the job.
    """
    return f"teacher.{teacher}"[:63].rstrip("-.")


def write_teacher(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write into a package who taught it: ``name``, ``version`` and ``sha256`` of the registry."""
    file = folder / MANIFEST
    manifest = json.loads(file.read_text(encoding="utf-8"))
    manifest["lineage"]["teacher"] = dict(facts)
    file.write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")


def _registered(teacher: Mapping[str, Any], uri: str) -> Found:
    name, version = str(teacher["name"]), int(teacher["version"])
    called = f"{name}@{version}"
    try:
        folder = Registry(uri).fetch(name, version)
    except RegistryError as error:
        problem = f"the teacher {called} is not in this registry: {error.problem}"
        raise RegistryError(
            uri, problem, "Name the student's registry: --registry URI."
        ) from error
    found = read_package(folder)
    if found.weights.sha256 != teacher.get("sha256"):
        problem = f"{called} is not the teacher that the student learnt from: other weights."
        raise RegistryError(uri, problem, "Name the student's registry: --registry URI.")
    return Found(folder, called, _of_ensemble(str(teacher["id"]), teacher.get("of"), found.id))


def _stored(student: Package, name: str, keys: str) -> Found:
    """Return the teacher of a student that lies in the storage of its job."""
    first, *others = keys.split("+")
    kind = student.folder.absolute().parent
    steps = kind.parent
    if not first or (steps.name, kind.name) != ("steps", "distil"):
        problem = f"its teacher {name} is not kept with it, and this is no storage of a job."
        raise RegistryError(str(student.folder), problem, _OTHER)
    for folder in sorted((steps / "pretrain").glob(f"*-{first}")):
        if (folder / DONE).is_file():
            found = read_package(folder)
            members = [found.id, f"{len(others)} more"] if others else None
            return Found(folder, found.id, _of_ensemble(name, members, found.id))
    problem = f"its teacher {name} ({first}) is no longer in this storage."
    raise RegistryError(str(steps / "pretrain"), problem, _OTHER)


def _of_ensemble(name: str, members: Any, first: str) -> str:
    if not members:
        return ""
    listed = ", ".join(str(member) for member in members)
    return (
        f"The student learnt from the ensemble {name} ({listed}): its first member {first} is "
        "shown, since a mean of logits has no map."
    )
