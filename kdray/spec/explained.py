"""What pydantic found wrong, as a problem of one value of the file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from kdray.spec.problem import Path, Problem, nearest, wording


def explained(tree: Any, model: type[BaseModel], error: ErrorDetails) -> Problem:
    """Return a finding of pydantic with its path in the file and what to do.

    Args:
        tree: The file's tree.
        model: What it should have been.
        error: What pydantic found.
    """
    path = _real(tree, error["loc"])
    last = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        remedy = nearest(last, _fields_at(model, tree, path[:-1]))
        return Problem(path, f"{dotted(path)}: no such field.", remedy, at_key=True)
    if error["type"] == "missing":
        problem = f"{dotted((*path, last))}: this field is missing."
        return Problem(path, problem, "", at_key=True)
    if error["type"].startswith("union_tag"):
        return _of_no_kind(path, error)
    text, remedy = wording(error)
    return Problem(path, f"{dotted(path)}: {text}.", remedy)


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as users write it."""
    return ".".join(str(step) for step in path) or "job"


def _of_no_kind(path: Path, error: ErrorDetails) -> Problem:
    """Return the problem of a mapping whose ``kind`` says nothing that could stand there."""
    about = error.get("ctx", {})
    field = str(about.get("discriminator", "'kind'")).strip("'")
    if error["type"] == "union_tag_not_found":
        return Problem(path, f"{dotted((*path, field))}: this field is missing.", "", at_key=True)
    kinds = [item.strip("'") for item in str(about["expected_tags"]).split(", ")]
    given = str(about["tag"])
    problem = f"{dotted((*path, field))}: there is no {given!r}."
    return Problem((*path, field), problem, nearest(given, kinds))


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


def _fields_at(model: type[BaseModel], tree: Any, path: Path) -> list[str]:
    """Return the field names of the model that stands at ``path`` under ``model``."""
    current: Any = model
    for step in path:
        tree = _below(tree, step)
        if isinstance(step, str) and _is_model(current) and step in current.model_fields:
            current = _of_kind(current.model_fields[step], tree)
    return list(current.model_fields) if _is_model(current) else []


def _below(tree: Any, step: str | int) -> Any:
    if isinstance(tree, dict):
        return tree.get(step)
    return tree[step] if isinstance(tree, list) and isinstance(step, int) else None


def _of_kind(field: FieldInfo, value: Any) -> Any:
    """Return the model of a field; of several, the one whose ``kind`` the value has."""
    if isinstance(field.discriminator, str) and isinstance(value, dict):
        for kind in get_args(field.annotation):
            tag = kind.model_fields[field.discriminator].annotation
            if value.get(field.discriminator) in get_args(tag):
                return kind
    return _inner(field.annotation)


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
