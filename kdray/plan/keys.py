"""The key of a step: the hash of everything that its result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from kdray import parts
from kdray.plan.steps import Step
from kdray.spec.experiment import Model
from kdray.spec.strict import Part

#: Raised when the code of a step changes what it produces from equal settings.
CODE = {
    "prepare": 1,
    "pretrain": 2,
    "record": 1,
    "search": 2,
    "distil": 2,
    "evaluate": 3,
    "explain": 5,
    "promote": 3,
}
#: The order in which the kinds of steps run.
KINDS = tuple(CODE)


def keyed(  # noqa: PLR0913 - all that a step is
    kind: str,
    label: str,
    content: Mapping[str, Any],
    needs: Iterable[Step],
    facts: Mapping[str, Any],
    slug: str = "",
    after: Iterable[Step] = (),
) -> Step:
    """Return a step under its key.

    Args:
        kind: One of ``KINDS``.
        label: What people call it.
        content: The settings that its result depends on.
        needs: The steps that its result depends on.
        facts: What ``kdray plan`` shows of its size.
        slug: The label as part of a file name, where it differs.
        after: The steps that it waits for as well: they make it cheaper, not another.
    """
    before = tuple(needs)
    whole = {
        "code": CODE[kind],
        "content": _plain(content),
        "needs": sorted(step.key for step in before),
    }
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    waits = tuple(step.id for step in (*before, *after))
    return Step(kind, label, slug or label, key, waits, facts)


def model_content(model: Model, files: Mapping[str, str]) -> dict[str, Any]:
    """Return what a model is, whatever the job calls it.

    Args:
        model: The model.
        files: Path or URI of a weights file -> hash of its content.
    """
    part = part_content("models", model.model.name, model.model.params)
    return {"part": part, "weights": files.get(model.weights, model.weights)}


def part_content(folder: str, name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part with all its settings, under its own name."""
    part = parts.canonical(folder, Part(name=name, params=dict(params)))
    filled = parts.header(folder, part.name).Params.model_validate(part.params)
    return {"name": part.name, "params": filled.model_dump(mode="json")}


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
