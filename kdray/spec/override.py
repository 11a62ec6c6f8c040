"""``--set path.to.field=value``: one value of a job's tree, before it is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kdray.errors import JobError
from kdray.spec.problem import Path
from kdray.spec.yaml import scalar

#: Where a string is a shorthand ("*": every item), and what writes it in full.
Shorthands = Mapping[tuple[str, ...], Callable[[Any], Any]]


def override(tree: dict[str, Any], item: str, shorthands: Shorthands) -> Path:
    """Put one override into a tree and return its path.

    Missing mappings on the way are made, shortened parts are written in full, and a list takes
    one more item behind its last.

    Args:
        tree: The job's tree, changed in place.
        item: ``path.to.field=value``; list items are counted from 0.
        shorthands: Where strings may be written in full.

    Raises:
        JobError: There is no such place, or the text is no override.
    """
    dotted, equals, text = item.partition("=")
    where = f"--set {item}"
    if not equals or not all(dotted.split(".")):
        raise JobError(where, "is no override.", "Write --set path.to.field=value.")
    return put(tree, dotted, scalar(text, where), shorthands, where)


def put(tree: dict[str, Any], dotted: str, value: Any, shorthands: Shorthands, where: str) -> Path:
    """Put a value into a tree at ``path.to.field`` and return its path; see ``override``.

    Raises:
        JobError: There is no such place.
    """
    steps = dotted.split(".")
    node: Any = tree
    path: Path = ()
    for step in steps[:-1]:
        path = (*path, _key(node, step, where))
        _put(node, path[-1], _opened(_get(node, path[-1]), path, shorthands))
        node = _get(node, path[-1])
    path = (*path, _key(node, steps[-1], where))
    _put(node, path[-1], value)
    return path


def _key(node: Any, step: str, where: str) -> str | int:
    if isinstance(node, dict):
        return step
    if not isinstance(node, list):
        raise JobError(where, f"there is no place {step!r} in the value {node!r}.")
    if not step.isdigit() or int(step) > len(node):
        problem = f"there is no item {step!r} in a list of {len(node)}."
        raise JobError(where, problem, "Items are counted from 0.")
    return int(step)


def _get(node: Any, key: str | int) -> Any:
    if isinstance(node, dict):
        return node.get(key)
    return node[key] if int(key) < len(node) else None


def _put(node: Any, key: str | int, value: Any) -> None:
    if isinstance(node, list) and key == len(node):
        node.append(value)
    else:
        node[key] = value


def _opened(value: Any, path: Path, shorthands: Shorthands) -> Any:
    """Return a value that can be stepped into: nothing becomes a mapping, a shorthand its long."""
    if value is None:
        return {}
    if isinstance(value, str):
        for pattern, in_full in shorthands.items():
            pairs = zip(pattern, path, strict=False)
            if len(pattern) == len(path) and all(want in ("*", step) for want, step in pairs):
                return in_full(value)
    return value
