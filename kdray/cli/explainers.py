"""``kdray explainers``: how an answer can be explained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from kdray import parts
from kdray.cli._output import Json, console, print_json, print_table
from kdray.cli._parts import facts, print_part
from kdray.spec.strict import Part

Name = Annotated[str | None, typer.Argument(help="Show all about this explainer.")]
COLUMNS = ("names", "what it is", "by class", "cost of an image")


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def explainers(name: Name = None, as_json: Json = False) -> None:
        """List the explanations: names, costs, and settings of one that is named."""
        found = [_facts(one) for one in ([name] if name else parts.names("explain"))]
        if as_json:
            print_json(found)
        elif name:
            _print_one(found[0])
        else:
            print_table(
                "Explainers (`explain.methods` of a job)", COLUMNS, [_row(one) for one in found]
            )
            hint = "Settings and sources of one: kdray explainers NAME"
            console.print(hint, markup=False, highlight=False)


def _facts(name: str) -> dict[str, Any]:
    """Return what an explainer, or the one that a preset stands for, says of itself."""
    part = parts.canonical("explain", Part(name=name)).name
    found = facts("explain", part)
    constants = parts.header("explain", part).constants
    presets = [one for one in parts.presets("explain").values() if one.part == part]
    return {
        "name": part,
        "also_called": {one.name: dict(one.params) for one in presets},
        "title": found["title"],
        "description": found["description"],
        "classwise": bool(constants.get("CLASSWISE", True)),
        "cost": constants.get("COST", ""),
        "settings": found["settings"],
    }


def _row(part: Mapping[str, Any]) -> tuple[str, ...]:
    names = "\n".join((part["name"], *part["also_called"]))
    return names, part["title"], "yes" if part["classwise"] else "no", part["cost"]


def _print_one(part: Mapping[str, Any]) -> None:
    print_part(part)
    names = [
        name + (f" ({_settings(params)})" if params else "")
        for name, params in part["also_called"].items()
    ]
    for what, told in (
        ("Also called", ", ".join(names) or "nothing else"),
        ("Map of a class", "its own" if part["classwise"] else "the same for all"),
        ("Cost of an image", part["cost"]),
    ):
        console.print(f"{what}: {told}.", markup=False, highlight=False)


def _settings(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in params.items())
