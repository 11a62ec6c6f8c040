"""The papers' models as facts: what their presets say, and counts kept in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import kdray
from kdray import parts
from kdray.cli._output import print_table

#: Where a preset does not say which image sizes it takes.
SIZES = "32 px and more"


def zoo(classes: int) -> list[dict[str, Any]]:
    """Return the models of the papers, with counts at 224 px for so many classes.

    Nothing is built: ``kdray.measure.zoo`` keeps the counts of networks in a file.
    """
    presets = parts.presets("models")
    return [_facts(presets[name], classes) for name in sorted(presets)]


def print_zoo(found: Sequence[Mapping[str, Any]], classes: int) -> None:
    """Print the models of the papers in a table."""
    columns = ("name", "role", "parameters", "MACs", "papers")
    rows = [
        (
            model["name"],
            model["role"],
            f"{model['parameters'] / 1e6:.2f} M",
            giga(model["macs"]),
            ", ".join(model["papers"]),
        )
        for model in found
    ]
    print_table(f"Models of the papers ({classes} classes, 224 px)", columns, rows)


def markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the models of the papers as a Markdown table; docs/models.md holds it."""
    columns = ("name", "role", "papers", "parameters", "MACs", "ptflops", "attention", "source")
    rows = [
        (
            f"`{model['name']}`",
            model["role"],
            ", ".join(model["papers"]),
            f"{model['parameters']:,}",
            giga(model["macs"]),
            giga(model["macs_ptflops"]),
            str(model["attention"] or ""),
            model["source"],
        )
        for model in found
    ]
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def giga(count: int | None) -> str:
    """Return a count of operations in billions; a dash where there is none."""
    return "-" if count is None else f"{count / 1e9:.3f} G"


@cache
def _counts() -> dict[str, Any]:
    file = Path(kdray.__file__).parent / "models" / "_counts.json"
    counts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return counts


def _facts(preset: parts.Preset, classes: int) -> dict[str, Any]:
    counts = _counts()[preset.name]
    return {
        "name": preset.name,
        "part": preset.part,
        "params": dict(preset.params),
        "role": preset.facts["role"],
        "papers": list(preset.facts["papers"]),
        "source": preset.facts["source"],
        "image_sizes": preset.facts.get("sizes", SIZES),
        "image_size": 224,
        "classes": classes,
        **{key: _at(counts[key], classes) for key in ("parameters", "macs", "macs_ptflops")},
        "taps": counts["taps"],
        "heads": counts["heads"],
        "attention": counts["attention"],
    }


def _at(line: list[int] | None, classes: int) -> int | None:
    """Return a count for so many classes: every head is linear."""
    return None if line is None else line[0] + line[1] * classes
