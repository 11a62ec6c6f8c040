"""YAML with places: the plain tree of a file, and line and column of each of its values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from kdray.errors import JobError

Path = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: ``1e-3`` is a number; ``yes``, ``no``, ``on``, ``off`` are words."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?$|^[-+]?\.(?:inf|Inf|INF)$"),
    list("-+0123456789."),
)


class Document:
    """One YAML document: its tree and the places of its values.

    Args:
        text: The YAML text.
        name: What to call it in errors, the file's path.
        env: Values for ``${NAME}`` in strings.

    Raises:
        JobError: The text is no YAML, has a key twice or names a missing variable.
    """

    def __init__(self, text: str, name: str, env: Mapping[str, str]) -> None:
        self.name = name
        self.problems: list[JobError] = []
        self._places: dict[Path, tuple[int, int]] = {}
        self._keys: dict[Path, tuple[int, int]] = {}
        self._env = env
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from None
        self._loader = _Loader("")
        self.tree: Any = None if node is None else self._build(node, ())

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

    def _syntax(self, error: yaml.MarkedYAMLError) -> JobError:
        mark = error.problem_mark or error.context_mark
        where = f"{self.name}:{mark.line + 1}:{mark.column + 1}" if mark else self.name
        problem = error.problem or "cannot be parsed"
        return JobError(where, f"not valid YAML: {problem}.", "Check indentation and quotes.")

    def _build(self, node: yaml.Node, path: Path) -> Any:
        self._places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*path, i)) for i, item in enumerate(node.value)]
        value = self._loader.construct_object(node)
        return self._filled(value, path) if isinstance(value, str) else value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self._loader.flatten_mapping(node)
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            mark = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in built:
                where = f"{self.name}:{mark[0]}:{mark[1]}"
                self.problems.append(JobError(where, f"the field {key!r} stands here twice.", ""))
            self._keys[(*path, key)] = mark
            built[key] = self._build(value_node, (*path, key))
        return built

    def _filled(self, text: str, path: Path) -> str:
        def value(match: re.Match[str]) -> str:
            name = match.group(1)
            if name not in self._env:
                self.problems.append(
                    JobError(
                        self.place(path),
                        f"the environment variable {name} is not set.",
                        f"Set it (export {name}=...), or write the value here.",
                    )
                )
            return self._env.get(name, "")

        return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, text)


def scalar(text: str) -> Any:
    """Return the value that ``text`` stands for in YAML (``1e-3``: a number)."""
    return yaml.load(text, Loader=_Loader)
