"""A job file to a strict model, with every problem of the file at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kdray.errors import JobError, JobErrors
from kdray.spec import experiment, service
from kdray.spec.yaml import Document, Path, scalar

Job = experiment.Experiment | service.Service
KINDS: dict[str, type[experiment.Experiment] | type[service.Service]] = {
    "Experiment": experiment.Experiment,
    "Service": service.Service,
}
PLACES = {"Experiment": experiment.PART_PLACES, "Service": service.PART_PLACES}


@dataclass(frozen=True)
class Problem:
    """One finding of a checker about the value at ``path``."""

    path: Path
    problem: str
    remedy: str = ""
    at_key: bool = False


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
    path = FilePath(file)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise JobError(
            str(file), f"cannot be read: {reason}.", "Give the path of a job file."
        ) from None
    return parse_job(text, str(file), sets, env, check_part)


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
    overrides = [_override(document.tree, item) for item in sets]
    model = _model(document)
    problems: list[JobError] = list(document.problems)
    job: Job | None = None
    try:
        job = model.model_validate(document.tree)
    except ValidationError as error:
        problems += [_explained(document, model, item, overrides) for item in error.errors()]
    if check_part is not None:
        problems += [
            _found(document, item, overrides)
            for path, folder, value in _parts(document.tree, PLACES[model.__name__])
            for item in check_part(path, folder, value)
        ]
    if problems or job is None:
        raise JobErrors(_in_order(problems))
    return job


def _model(document: Document) -> type[Job]:
    kind = document.tree.get("kind")
    if isinstance(kind, str) and kind in KINDS:
        return KINDS[kind]
    if kind is None:
        raise JobError(
            document.name,
            "the field 'kind' is missing.",
            "Write kind: Experiment or kind: Service.",
        )
    where = document.place(("kind",))
    raise JobError(where, f"no job is of kind {kind!r}.", _nearest(str(kind), list(KINDS)))


def _override(tree: Any, item: str) -> Path:
    dotted, equals, text = item.partition("=")
    where = f"--set {item}"
    if not equals or not dotted:
        raise JobError(where, "is no override.", "Write --set path.to.field=value.")
    path: Path = tuple(int(step) if step.isdigit() else step for step in dotted.split("."))
    node = tree
    for step in path[:-1]:
        node = _child(node, step, where)
    last = path[-1]
    if isinstance(node, list) and isinstance(last, int) and last < len(node):
        node[last] = scalar(text)
    elif isinstance(node, dict):
        node[str(last)] = scalar(text)
    else:
        raise JobError(where, f"there is no place {dotted!r} in the file.", "")
    return path


def _child(node: Any, step: str | int, where: str) -> Any:
    if isinstance(node, list) and isinstance(step, int) and step < len(node):
        return node[step]
    if isinstance(node, dict):
        return node.setdefault(str(step), {})
    raise JobError(where, f"there is no item {step!r} here.", "Lists count from 0.")


def _explained(
    document: Document, model: type[BaseModel], error: ErrorDetails, overrides: Sequence[Path]
) -> JobError:
    path = _real(document.tree, error["loc"])
    last = str(error["loc"][-1]) if error["loc"] else ""
    fields = _fields_at(model, path[:-1] if error["type"] == "extra_forbidden" else path)
    if error["type"] == "extra_forbidden":
        problem = Problem(
            path, f"{_dotted(path)}: no such field.", _nearest(last, fields), at_key=True
        )
    elif error["type"] == "missing":
        problem = Problem(
            path, f"{_dotted((*path, last))}: this field is missing.", "", at_key=True
        )
    else:
        given = error["input"]
        message = error["msg"].removeprefix("Value error, ")
        shown = "" if isinstance(given, dict | list | BaseModel) else f", not {given!r}"
        expected = message if error["type"] == "value_error" else f"{_lower(message)}{shown}"
        choices = [choice.strip("'") for choice in _choices(error)]
        remedy = _nearest(str(given), choices, listed=False) if choices else ""
        problem = Problem(path, f"{_dotted(path)}: {expected}.", remedy)
    return _found(document, problem, overrides)


def _found(document: Document, item: Problem, overrides: Sequence[Path]) -> JobError:
    set_here = next((path for path in overrides if item.path[: len(path)] == path), None)
    if set_here is not None:
        where = f"--set {_dotted(set_here)}"
    else:
        where = document.key_place(item.path) if item.at_key else document.place(item.path)
    return JobError(where, item.problem, item.remedy)


def _real(tree: Any, loc: Sequence[str | int]) -> Path:
    """Leave out what pydantic adds to a path: tags of unions, fields that are not there."""
    node, path = tree, []
    for step in loc:
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            continue
        path.append(step)
    return tuple(path)


def _fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """Return the field names of the model that stands at ``path`` under ``model``."""
    current: Any = model
    for step in path:
        if isinstance(step, str) and _is_model(current) and step in current.model_fields:
            current = _inner(current.model_fields[step].annotation)
    return list(current.model_fields) if _is_model(current) else []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _inner(annotation: Any) -> Any:
    """Return the model class inside ``Annotated``, a tuple, a dict or a union."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _inner(get_args(annotation)[0])
    if origin in (tuple, dict, Union, UnionType):
        found = [_inner(item) for item in get_args(annotation) if item is not Ellipsis]
        return next((item for item in found if _is_model(item)), annotation)
    return annotation


def _choices(error: ErrorDetails) -> list[str]:
    if error["type"] != "literal_error":
        return []
    expected = str(error.get("ctx", {}).get("expected", ""))
    return [item for item in expected.replace(" or ", ", ").split(", ") if item]


def _nearest(name: str, names: Sequence[str], *, listed: bool = True) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Valid here: {', '.join(names)}." if names and listed else ""


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _dotted(path: Iterable[str | int]) -> str:
    return ".".join(str(step) for step in path) or "job"


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
