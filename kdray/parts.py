"""Parts by name: the folder is the registry, a file is a part.

A part's settings can be read without importing the part (``header``): its docstring, its literal
constants and its ``Params`` are taken from the source alone. So checking a job needs neither
torch nor timm, and a new part is still one file.
"""

from __future__ import annotations

import ast
import difflib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from kdray.errors import JobError
from kdray.spec import Problem
from kdray.spec.strict import Part, _named

#: Folder of the parts -> what a user calls one of them.
FOLDERS = {"data": "data source", "models": "model", "distill": "method", "explain": "explainer"}
_LIGHT = ("__future__", "typing", "pydantic", "math", "kdray.spec", "collections.abc", "enum")


@dataclass(frozen=True)
class Header:
    """What a part says of itself, read without importing it."""

    name: str
    doc: str
    Params: type[BaseModel]
    constants: dict[str, Any]

    @property
    def title(self) -> str:
        """The first line of the docstring."""
        return self.doc.strip().splitlines()[0] if self.doc.strip() else ""


def names(folder: str) -> list[str]:
    """Return the names of the parts in a folder of ``FOLDERS``, sorted."""
    return sorted(
        path.stem
        for path in (Path(__file__).parent / folder).glob("*.py")
        if not path.stem.startswith("_")
    )


def load(folder: str, name: str) -> ModuleType:
    """Return the module of a part.

    Raises:
        JobError: There is no such part.
    """
    if name not in names(folder):
        raise JobError(f"{folder}/{name}", *_unknown(folder, name))
    return importlib.import_module(f"kdray.{folder}.{name}")


@cache
def header(folder: str, name: str) -> Header:
    """Return what a part says of itself, without importing what it imports.

    Raises:
        JobError: There is no such part.
    """
    if name not in names(folder):
        raise JobError(f"{folder}/{name}", *_unknown(folder, name))
    path = Path(__file__).parent / folder / f"{name}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kept = [node for node in tree.body if _is_light(node)]
    namespace: dict[str, Any] = {"__name__": f"kdray.{folder}.{name}"}
    code = compile(ast.Module(body=kept, type_ignores=[]), str(path), "exec")
    exec(code, namespace)
    # The annotations are strings, and the namespace is no module that pydantic could look in.
    namespace["Params"].model_rebuild(_types_namespace=namespace)
    constants = {
        key: value
        for key, value in namespace.items()
        if key.isupper() and isinstance(value, str | int | float | bool | tuple | list | dict)
    }
    return Header(name, ast.get_docstring(tree) or "", namespace["Params"], constants)


def settings(folder: str, part: Part) -> dict[str, Any]:
    """Return a part's settings with its defaults filled in.

    Raises:
        JobError: There is no such part, or its ``Params`` refuse a setting.
    """
    problems = list(check((), folder, part.model_dump(include={"name", "params"})))
    if problems:
        raise JobError(f"{folder}/{part.name}", problems[0].problem, problems[0].remedy)
    params = header(folder, part.name).Params.model_validate(part.params)
    return params.model_dump(mode="json")


def check(path: tuple[str | int, ...], folder: str, value: Any) -> Iterator[Problem]:
    """Yield the problems of a part as it stands in a job file.

    Args:
        path: Where the part stands.
        folder: The folder its name is looked up in.
        value: The raw value: a name, or a mapping with ``name`` and ``params``.
    """
    tree = _named(value)
    name = tree.get("name") if isinstance(tree, dict) else None
    if not isinstance(name, str):
        return  # the spec's own check says so
    at = path if isinstance(value, str) else (*path, "name")
    if name not in names(folder):
        problem, remedy = _unknown(folder, name)
        yield Problem(at, problem, remedy)
        return
    params = tree.get("params") or {}
    if isinstance(params, dict):
        yield from _param_problems(path, folder, name, params)
    spaces = tree.get("search") or {}
    if isinstance(spaces, dict) and folder == "distill":
        yield from _space_problems(path, name, spaces, params)


def searchable(name: str) -> dict[str, dict[str, Any]]:
    """Return the method's own search spaces: setting -> fields of ``Space``."""
    fields = header("distill", name).Params.model_fields
    return {
        key: dict(extra["search"])
        for key, field in fields.items()
        if isinstance(extra := field.json_schema_extra, dict)
        and isinstance(extra.get("search"), dict)
    }


def _is_light(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").startswith(_LIGHT)
    if isinstance(node, ast.Import):
        return all(alias.name.startswith(_LIGHT) for alias in node.names)
    if isinstance(node, ast.ClassDef):
        return node.name == "Params"
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    try:
        ast.literal_eval(node.value)
    except ValueError:
        return False
    return True


def _unknown(folder: str, name: str) -> tuple[str, str]:
    known = names(folder)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    remedy = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
    return f"no {FOLDERS[folder]} is called {name!r}.", remedy


def _param_problems(
    path: tuple[str | int, ...], folder: str, name: str, params: dict[str, Any]
) -> Iterator[Problem]:
    model = header(folder, name).Params
    try:
        model.model_validate(params)
    except ValidationError as error:
        for item in error.errors():
            loc = tuple(step for step in item["loc"])
            shown = ".".join(str(step) for step in loc)
            message = item["msg"].removeprefix("Value error, ")
            remedy = ""
            if item["type"] == "extra_forbidden":
                message = f"{name} has no such setting"
                close = difflib.get_close_matches(str(loc[-1]), list(model.model_fields), n=1)
                known = ", ".join(model.model_fields) or "none"
                remedy = f"Did you mean {close[0]!r}?" if close else f"Its settings: {known}."
            elif item["type"] == "missing":
                message = f"{name} needs this setting"
            at_key = item["type"] == "extra_forbidden"
            yield Problem((*path, "params", *loc), f"{shown or name}: {message}.", remedy, at_key)


def _space_problems(
    path: tuple[str | int, ...], name: str, spaces: dict[str, Any], params: dict[str, Any]
) -> Iterator[Problem]:
    model = header("distill", name).Params
    for key, space in spaces.items():
        at = (*path, "search", key)
        if key not in model.model_fields:
            close = difflib.get_close_matches(key, list(model.model_fields), n=1)
            known = ", ".join(model.model_fields) or "none"
            remedy = f"Did you mean {close[0]!r}?" if close else f"Its settings: {known}."
            yield Problem(at, f"{key}: {name} has no such setting to search.", remedy, at_key=True)
        elif key in params:
            yield Problem(at, f"{key}: is both fixed in params and searched.", "Keep one.", True)
        elif isinstance(space, dict):
            ends = [space.get("min"), space.get("max"), *(space.get("choices") or [])]
            for end in (end for end in ends if end is not None):
                yield from _end_problems(at, model, name, {**params, key: end}, key)


def _end_problems(
    at: tuple[str | int, ...], model: type[BaseModel], name: str, params: dict[str, Any], key: str
) -> Iterator[Problem]:
    try:
        model.model_validate(params)
    except ValidationError as error:
        for item in error.errors():
            if item["loc"][:1] == (key,):
                yield Problem(at, f"{key}: {name} cannot take {params[key]!r}: {item['msg']}.", "")
