"""YAML with places: the plain tree of a file, and line and column of each of its values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from kdray.errors import JobError
from kdray.spec.problem import Path, Problem


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: ``1e-3`` is a number; ``yes``, ``010`` and ``2026-01-01`` are words."""


_PLAIN = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(?:0|[1-9]\d*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)",
        "-+0123456789.",
    ),
}
_KEPT = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


class _Dumper(yaml.SafeDumper):
    """Quotes what is a word in Python and would be something else in YAML 1.1 or 1.2."""


for _kind, (_pattern, _first) in _PLAIN.items():
    _Dumper.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


class Document:
    """One YAML document: its tree and the places of its values.

    ``problems`` are keys that stand twice; ``missing`` are variables that are not set.

    Args:
        text: The YAML text.
        name: What to call it in errors, the file's path.
        env: Values for ``${NAME}`` and ``${NAME:-default}`` in strings.

    Raises:
        JobError: The text is no YAML.
    """

    def __init__(self, text: str, name: str, env: Mapping[str, str]) -> None:
        self.name = name
        self.problems: list[JobError] = []
        self.missing: list[Problem] = []
        self._places: dict[Path, tuple[int, int]] = {}
        self._keys: dict[Path, tuple[int, int]] = {}
        self._env = env
        self._open: list[yaml.Node] = []
        self._flat: list[yaml.Node] = []
        self._loader = _Loader("")
        try:
            node = yaml.compose(text, Loader=_Loader)
            self.tree: Any = None if node is None else self._build(node, ())
        except yaml.YAMLError as error:
            raise _no_yaml(error, name) from None

    def __contains__(self, path: Path) -> bool:
        """Return whether the text has a value at ``path``."""
        return path in self._places

    def place(self, path: Path) -> str:
        """Return ``file:line:column`` of the value at ``path``, or of its nearest parent."""
        for end in range(len(path), -1, -1):
            if path[:end] in self._places:
                line, column = self._places[path[:end]]
                return f"{self.name}:{line}:{column}"
        return self.name

    def key_place(self, path: Path) -> str:
        """Return ``file:line:column`` of the key that ends ``path``."""
        if path in self._keys:
            line, column = self._keys[path]
            return f"{self.name}:{line}:{column}"
        return self.place(path)

    def _build(self, node: yaml.Node, path: Path) -> Any:
        if any(node is above for above in self._open):
            raise yaml.MarkedYAMLError(
                problem="an alias stands inside its own anchor", problem_mark=node.start_mark
            )
        self._places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        self._open.append(node)
        try:
            return self._value(node, path)
        finally:
            self._open.pop()

    def _value(self, node: yaml.Node, path: Path) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*path, i)) for i, item in enumerate(node.value)]
        value = self._loader.construct_object(node)
        return self._filled(value, path) if isinstance(value, str) else value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        if not any(node is flat for flat in self._flat):
            self._find_twice(node)
            self._loader.flatten_mapping(node)  # merge keys (<<) come first, own keys win
            self._flat.append(node)
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            self._keys[(*path, key)] = _mark(key_node)
            built[key] = self._build(value_node, (*path, key))
        return built

    def _find_twice(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a key must be a word", problem_mark=key_node.start_mark
                )
            if key_node.value in seen:
                line, column = _mark(key_node)
                where = f"{self.name}:{line}:{column}"
                problem = f"the field {key_node.value!r} stands here twice."
                self.problems.append(JobError(where, problem, "Keep one."))
            seen.add(key_node.value)

    def _filled(self, text: str, path: Path) -> str:
        def value(match: re.Match[str]) -> str:
            name, default = match.groups()
            if name not in self._env and default is None:
                problem = f"the environment variable {name} is not set."
                remedy = f"Set it (export {name}=...), or write the value here."
                self.missing.append(Problem(path, problem, remedy))
            return self._env.get(name, default or "")

        return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}", value, text)


def dump(tree: Any) -> str:
    """Return a plain tree as YAML text that reads back as the same tree."""
    text: str = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def scalar(text: str, where: str = "") -> Any:
    """Return the value that ``text`` stands for in YAML (``1e-3``: a number).

    Args:
        text: A scalar, or a list or mapping in one line.
        where: What to call it in errors.

    Raises:
        JobError: The text is no YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise JobError(where or text, _reason(error), "Quote the value.") from None


def _mark(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _no_yaml(error: yaml.YAMLError, name: str) -> JobError:
    mark = None
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    return JobError(where, _reason(error), "Check indentation and quotes.")


def _reason(error: yaml.YAMLError) -> str:
    said = error.problem if isinstance(error, yaml.MarkedYAMLError) else str(error).splitlines()[0]
    return f"not valid YAML: {said or 'cannot be parsed'}."
