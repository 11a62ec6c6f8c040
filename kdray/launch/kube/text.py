"""Manifests as YAML that Kubernetes' own reader, which is older than YAML 1.2, reads alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

#: Strings that are a string to every reader of YAML; all others are quoted.
_PLAIN = re.compile(r"[A-Za-z/_][A-Za-z0-9_./@-]*( [A-Za-z0-9_./@-]+)*")
#: Words that some readers take for true, false or nothing.
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def as_yaml(documents: Iterable[Mapping[str, Any]]) -> str:
    """Return documents as one YAML stream, in their order.

    Numbers stay numbers and strings strings for readers of YAML 1.1 and 1.2, so that a hash like
    ``12345e67`` or a word like ``on`` is quoted.
    """
    text: str = yaml.dump_all(
        documents,
        Dumper=_Dumper,
        sort_keys=False,
        explicit_start=True,
        allow_unicode=True,
        width=10_000,  # a folded line is hard to compare
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes what could be read as anything else, and shows text of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a tree twice where it stands twice: Kubernetes knows no anchors."""
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    tag = "tag:yaml.org,2002:str"
    if "\n" in value:
        return dumper.represent_scalar(tag, value, style="|")
    is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return dumper.represent_scalar(tag, value, style=None if is_plain else '"')


_Dumper.add_representer(str, _text)
