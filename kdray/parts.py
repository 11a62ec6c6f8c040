"""Parts by name: the folder is the registry, a file is a part.

A part's settings can be read without importing the part (``header``): its docstring, its literal
constants and its ``Params`` are taken from the source alone. So checking a job needs neither
torch nor timm, and a new part is still one file.

A preset is a part with settings under a name of its own, such as ``visformer_small`` for one
architecture of timm: an entry of the literal ``PRESETS`` in the part's file. ``canonical`` is the
one place that resolves it, so a preset and the same part spelled out share keys and results.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kdray.errors import JobError
from kdray.spec import Problem
from kdray.spec.problem import Path as Place
from kdray.spec.problem import nearest, wording
from kdray.spec.strict import Part, named

#: Folder of the parts -> what a user calls one of them.
FOLDERS = {"data": "data source", "models": "model", "distill": "method", "explain": "explainer"}
#: What a list of settings is called in remedies.
SETTINGS = "Its settings"
AnyPart = TypeVar("AnyPart", bound=Part)
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


@dataclass(frozen=True)
class Preset:
    """A part with settings under a name of its own.

    Args:
        name: What users write.
        part: The part that it stands for.
        params: The settings that differ from the part's defaults; a user's come on top.
        facts: What else its entry says: for models ``role``, ``source`` and ``papers``.
    """

    name: str
    part: str
    params: Mapping[str, Any]
    facts: Mapping[str, Any]


def names(folder: str) -> list[str]:
    """Return the names of the parts in a folder of ``FOLDERS``, sorted."""
    return list(_files(folder))


@cache
def _files(folder: str) -> tuple[str, ...]:
    # Each explanation asks several times, and listing the folder takes as long as a small layer.
    found = (path.stem for path in (Path(__file__).parent / folder).glob("*.py"))
    return tuple(sorted(name for name in found if not name.startswith("_")))


@cache
def presets(folder: str) -> Mapping[str, Preset]:
    """Return the presets of all parts in a folder, in the order of the files."""
    return {
        name: Preset(
            name, part, entry["params"], {k: v for k, v in entry.items() if k != "params"}
        )
        for part in names(folder)
        for name, entry in header(folder, part).constants.get("PRESETS", {}).items()
    }


def canonical(folder: str, part: AnyPart) -> AnyPart:
    """Return the part that a preset stands for, its settings below the given ones.

    What is no preset is returned as it is, known or not.
    """
    if part.name in names(folder) or part.name not in presets(folder):
        return part
    preset = presets(folder)[part.name]
    return part.model_copy(
        update={"name": preset.part, "params": {**preset.params, **part.params}}
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
    """Return the settings of a part, or of what a preset stands for, with defaults filled in.

    Raises:
        JobError: There is no such part, or its ``Params`` refuse a setting.
    """
    problems = list(check((), folder, part.model_dump(include={"name", "params"})))
    if problems:
        raise JobError(f"{folder}/{part.name}", problems[0].problem, problems[0].remedy)
    whole = canonical(folder, part)
    params = header(folder, whole.name).Params.model_validate(whole.params)
    return params.model_dump(mode="json")


def check(path: Place, folder: str, value: Any) -> Iterator[Problem]:
    """Yield the problems of a part as it stands in a job file.

    Args:
        path: Where the part stands.
        folder: The folder its name is looked up in.
        value: The raw value: a name, or a mapping with ``name`` and ``params``.
    """
    tree = named(value)
    name = tree.get("name") if isinstance(tree, dict) else None
    if not isinstance(name, str):
        return  # the spec's own check says so
    at = path if isinstance(value, str) else (*path, "name")
    if name not in names(folder) and name not in presets(folder):
        problem, remedy = _unknown(folder, name)
        yield Problem(at, problem, remedy)
        return
    params = tree.get("params") or {}
    if isinstance(params, dict):
        whole = canonical(folder, Part(name=name, params=params))
        yield from _param_problems(path, folder, whole.name, whole.params)
    spaces = tree.get("search") or {}
    if isinstance(spaces, dict) and isinstance(params, dict) and folder == "distill":
        yield from _space_problems(path, name, spaces, params)


def searchable(name: str, params: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """Return the method's own search spaces: setting -> fields of ``Space``.

    Args:
        name: The method.
        params: Its settings; some, such as what is recorded, leave others no space.
    """
    spaces = {}
    for key, field in header("distill", name).Params.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        space, fixed = extra.get("search"), extra.get("fixed_by")
        is_fixed = isinstance(fixed, dict) and fixed.items() <= (params or {}).items()
        if isinstance(space, dict) and not is_fixed:
            spaces[key] = dict(space)
    return spaces


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
    problem = f"no {FOLDERS[folder]} is called {name!r}."
    known = sorted({*names(folder), *presets(folder)})
    return problem, nearest(name, known, listed="There are")


def _param_problems(
    path: Place, folder: str, name: str, params: dict[str, Any]
) -> Iterator[Problem]:
    model = header(folder, name).Params
    try:
        model.model_validate(params)
    except ValidationError as error:
        for item in error.errors():
            place = (*path, "params", *item["loc"])
            shown = ".".join(str(step) for step in item["loc"]) or name
            if item["type"] == "extra_forbidden":
                remedy = nearest(str(item["loc"][-1]), list(model.model_fields), listed=SETTINGS)
                yield Problem(place, f"{shown}: {name} has no such setting.", remedy, at_key=True)
            elif item["type"] == "missing":
                yield Problem(place, f"{shown}: {name} needs this setting.")
            else:
                text, remedy = wording(item)
                yield Problem(place, f"{shown}: {text}.", remedy)


def _space_problems(
    path: Place, name: str, spaces: dict[str, Any], params: dict[str, Any]
) -> Iterator[Problem]:
    model = header("distill", name).Params
    for key, space in spaces.items():
        place = (*path, "search", key)
        if key not in model.model_fields:
            remedy = nearest(str(key), list(model.model_fields), listed=SETTINGS)
            problem = f"{key}: {name} has no such setting to search."
            yield Problem(place, problem, remedy, at_key=True)
        elif key in params:
            yield Problem(
                place, f"{key}: is both fixed in params and searched.", "Keep one.", True
            )
        elif isinstance(space, dict):
            others = {other: item for other, item in spaces.items() if other != key}
            for end in _ends(space):
                yield from _end_problems(place, name, {**params, key: end}, key, others)


def _ends(space: dict[str, Any]) -> list[Any]:
    """Return the outermost values of a space; what is no space is left to the spec's check."""
    choices = space.get("choices")
    ends = [space.get("min"), space.get("max"), *(choices if isinstance(choices, list) else ())]
    return [end for end in ends if end is not None]


def _end_problems(
    place: Place, name: str, params: dict[str, Any], key: str, others: Mapping[str, Any]
) -> Iterator[Problem]:
    """Yield why an end of a space is refused, whatever the other settings of the search are."""
    own = {**searchable(name), **others}
    found = []
    for pick in (None, min, max):
        rest = {} if pick is None else _corner(own, pick, {*params, key})
        problem = _refused(name, {**rest, **params}, key)
        if problem is None:
            return
        found.append(problem)
    text, remedy = wording(found[0])
    yield Problem(place, f"{key}: the search reaches outside: {text}.", remedy)


def _corner(
    spaces: Mapping[str, Any], pick: Callable[[list[Any]], Any], without: set[str]
) -> dict[str, Any]:
    """Return the least or largest value of each space that has numbers."""
    corner = {}
    for key, space in spaces.items():
        ends = _ends(space) if isinstance(space, dict) else []
        if ends and key not in without and all(isinstance(end, int | float) for end in ends):
            corner[key] = pick(ends)
    return corner


def _refused(name: str, params: dict[str, Any], key: str) -> Any | None:
    """Return pydantic's error for one setting, or None."""
    try:
        header("distill", name).Params.model_validate(params)
    except ValidationError as error:
        return next((item for item in error.errors() if item["loc"][:1] == (key,)), None)
    return None
