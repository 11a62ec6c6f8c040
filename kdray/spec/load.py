"""A job file to a strict model, with every problem of the file at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from kdray.errors import JobError, JobErrors
from kdray.spec.experiment import Experiment
from kdray.spec.explained import dotted, explained
from kdray.spec.override import override
from kdray.spec.places import PARTS, SHORTHANDS, unknown_ids
from kdray.spec.problem import Path, Problem, nearest
from kdray.spec.service import Service
from kdray.spec.suite import Suite, experiment_tree, is_expandable, origin
from kdray.spec.target import Target
from kdray.spec.yaml import Document

Job = Experiment | Service | Suite
KINDS: dict[str, type[Job]] = {"Experiment": Experiment, "Service": Service, "Suite": Suite}

#: Checks one part as it stands in the file: (path, folder of the part, raw value).
PartCheck = Callable[[Path, str, Any], Iterable[Problem]]


def load_job(
    file: str | os.PathLike[str],
    sets: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    check_part: PartCheck | None = None,
) -> Job:
    """Return the job of a YAML file.

    Args:
        file: Path of the file.
        sets: Overrides, ``path.to.field=value``.
        env: Values for ``${NAME}`` in strings; None: the process's environment.
        check_part: Checks the parts that the job names; None: their names are not looked up.

    Raises:
        JobError: The file is missing, or is no YAML.
        JobErrors: The file has problems: all of them, with line, column and remedy.
    """
    return parse_job(_read(file, "job"), str(file), sets, env, check_part)


def parse_job(
    text: str,
    name: str,
    sets: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    check_part: PartCheck | None = None,
) -> Job:
    """Return the job of a YAML text; see ``load_job``."""
    document = Document(text, name, os.environ if env is None else env)
    if not isinstance(document.tree, dict):
        raise JobError(name, "holds no job.", "A job starts with apiVersion: kdray/v1.")
    written_short = SHORTHANDS.get(str(document.tree.get("kind")), {})
    overrides = [override(document.tree, item, written_short) for item in sets]
    model = _model(document, overrides)
    problems = [*document.problems, *_missing(document, overrides)]
    job, found = _checked(document.tree, model, check_part)
    if model is Suite and is_expandable(document.tree):
        found += _in_experiments(document.tree, check_part)
    problems += [_found(document, item, overrides) for item in found]
    if problems or job is None:
        raise JobErrors(_in_order(problems))
    return job


def load_target(file: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> Target:
    """Return the target of a YAML file.

    Args:
        file: Path of the file.
        env: Values for ``${NAME}`` in strings; None: the process's environment.

    Raises:
        JobError: The file is missing, is no YAML, or holds something else.
        JobErrors: The file has problems: all of them, with line, column and remedy.
    """
    document = Document(_read(file, "target"), str(file), os.environ if env is None else env)
    tree = document.tree
    kind = tree.get("kind") if isinstance(tree, dict) else None
    if kind in KINDS:
        raise JobError(str(file), f"is a {kind}, not a Target.", "Give the target's own file.")
    if not isinstance(tree, dict):
        raise JobError(str(file), "holds no target.", "A target starts with apiVersion: kdray/v1.")
    problems = [*document.problems, *_missing(document, ())]
    try:
        target = Target.model_validate(tree)
    except ValidationError as error:
        found = [explained(tree, Target, item) for item in error.errors()]
        problems += [_found(document, item, ()) for item in found]
    if problems:
        raise JobErrors(_in_order(problems))
    return target


def is_target(file: str | os.PathLike[str]) -> bool:
    """Return whether a file says that it is a target; what cannot be read is none."""
    try:
        tree = Document(_read(file, "job"), str(file), {}).tree
    except JobError:
        return False
    return isinstance(tree, dict) and tree.get("kind") == "Target"


def _read(file: str | os.PathLike[str], what: str) -> str:
    try:
        return FilePath(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedy = f"Give the path of a {what} file."
        raise JobError(str(file), f"cannot be read: {reason}.", remedy) from None


def _checked(
    tree: Any, model: type[Job], check_part: PartCheck | None
) -> tuple[Job | None, list[Problem]]:
    """Return the job of a tree, or None, and every problem of it."""
    job: Job | None = None
    problems: list[Problem] = []
    try:
        job = model.model_validate(tree)
    except ValidationError as error:
        problems += [explained(tree, model, item) for item in error.errors()]
    if isinstance(job, Experiment):
        problems += unknown_ids(job)
    if check_part is not None:
        for path, folder, value in _parts(tree, PARTS.get(model.__name__, {})):
            problems += check_part(path, folder, value)
    return job, problems


def _in_experiments(tree: Any, check_part: PartCheck | None) -> list[Problem]:
    """Return the problems of a suite's experiments, each where the suite writes the value."""
    problems: list[Problem] = []
    for index in range(len(tree["experiments"])):
        try:
            made = experiment_tree(tree, index)
        except JobError as error:
            place: Path = ("experiments", index, "set")
            problems.append(Problem(place, f"{error.where}: {error.problem}", error.remedy))
            continue
        problems += [
            replace(item, path=origin(tree, index, item.path))
            for item in _checked(made, Experiment, check_part)[1]
        ]
    return problems


def _model(document: Document, overrides: Sequence[Path]) -> type[Job]:
    kind = document.tree.get("kind")
    if isinstance(kind, str) and kind in KINDS:
        return KINDS[kind]
    if kind == "Target":
        remedy = "Give it to --to, and a job as SPEC."
        raise JobError(document.name, "is a Target, which says where jobs run.", remedy)
    if kind is None:
        remedy = "Write kind: Experiment, Suite or Service."
        raise JobError(document.name, "the field 'kind' is missing.", remedy)
    problem = Problem(("kind",), f"no job is of kind {kind!r}.", nearest(str(kind), list(KINDS)))
    raise _found(document, problem, overrides)


def _missing(document: Document, overrides: Sequence[Path]) -> Iterable[JobError]:
    for item in document.missing:
        if not any(item.path[: len(path)] == path for path in overrides):
            yield _found(document, item, ())


def _found(document: Document, item: Problem, overrides: Sequence[Path]) -> JobError:
    for path in overrides:
        is_new = item.path not in document and path[: len(item.path)] == item.path
        if item.path[: len(path)] == path or is_new:
            return JobError(f"--set {dotted(path)}", item.problem, item.remedy)
    where = document.key_place(item.path) if item.at_key else document.place(item.path)
    return JobError(where, item.problem, item.remedy)


def _parts(tree: Any, places: Mapping[tuple[str, ...], str]) -> Iterable[tuple[Path, str, Any]]:
    for pattern, folder in places.items():
        for path, value in _matches(tree, pattern, ()):
            yield path, folder, value


def _matches(node: Any, pattern: tuple[str, ...], path: Path) -> Iterable[tuple[Path, Any]]:
    if not pattern:
        yield path, node
    elif pattern[0] == "*" and isinstance(node, list):
        for index, item in enumerate(node):
            yield from _matches(item, pattern[1:], (*path, index))
    elif isinstance(node, dict) and pattern[0] in node:
        yield from _matches(node[pattern[0]], pattern[1:], (*path, pattern[0]))
    elif isinstance(node, str) and pattern == ("model",):
        yield path, node  # a model shortened to its part


def _in_order(problems: Sequence[JobError]) -> list[JobError]:
    def position(problem: JobError) -> tuple[int, int]:
        numbers = [int(part) for part in problem.where.split(":")[1:] if part.isdigit()]
        return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)

    return sorted({str(problem): problem for problem in problems}.values(), key=position)
