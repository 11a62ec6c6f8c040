"""``kdray registry``: the kept models, their versions and aliases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kdray.cli._output import Json, console, print_json, print_table

RegistryUri = Annotated[
    str, typer.Option("--registry", help="Folder or s3://bucket/prefix.", metavar="URI")
]
ModelName = Annotated[str, typer.Argument(metavar="NAME", help="Name in the registry.")]
ModelVersion = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@VERSION]", help="Name, and version number or alias; else the champion."
    ),
]
Alias = Annotated[str, typer.Option("--alias", help="The alias to move.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    verbs = typer.Typer(no_args_is_help=True, help="Kept models: versions, aliases, model cards.")
    verbs.command("list")(list_models)
    verbs.command("show")(show)
    verbs.command("promote")(promote)
    verbs.command("rollback")(rollback)
    verbs.command("export")(export)
    app.add_typer(verbs, name="registry")


def list_models(registry: RegistryUri = "registry", json: Json = False) -> None:
    """List the models of a registry."""
    from kdray.registry import Registry

    known = Registry(registry)
    rows: list[dict[str, Any]] = [
        {"name": name, "versions": known.versions(name), "aliases": known.aliases(name)}
        for name in known.names()
    ]
    if json:
        print_json(rows)
    elif not rows:
        console.print(f"The registry {registry} is empty: a job with `promote` fills it.")
    else:
        cells = [(row["name"], _joined(row["versions"]), _pairs(row["aliases"])) for row in rows]
        print_table(f"Models in {registry}", ("name", "versions", "aliases"), cells)


def show(model: ModelVersion, registry: RegistryUri = "registry", json: Json = False) -> None:
    """Show a version: what it is, its scores and where it comes from."""
    from kdray.registry import Registry
    from kdray.registry.card import flat

    known = Registry(registry)
    facts = known.describe(*_resolved(known, model))
    facts["aliases"] = known.aliases(facts["name"])
    if json:
        print_json(facts)
        return
    summary = facts["metrics"].get("summary", {})
    print_table(f"{facts['name']}, version {facts['version']}", ("field", "value"), _what(facts))
    if summary:
        print_table("Scores", ("split", "score", "value"), _scores(summary))
    _show_explanations(facts["metrics"].get("explanations") or {})
    costs = {key: _grouped(value) for key, value in facts["metrics"].get("cost", {}).items()}
    for title, tree in (("Cost", costs), ("Lineage", facts["lineage"])):
        if tree:
            print_table(title, ("field", "value"), list(flat(tree)))


def promote(
    name: ModelName,
    version: Annotated[int, typer.Argument(help="Version number.")],
    alias: Alias = "champion",
    registry: RegistryUri = "registry",
) -> None:
    """Let an alias point at a version; `rollback` undoes it."""
    from kdray.registry import Registry

    Registry(registry).promote(name, version, alias)
    console.print(f"{name}: {alias} is version {version}.")


def rollback(
    name: ModelName, alias: Alias = "champion", registry: RegistryUri = "registry"
) -> None:
    """Let an alias point at the version before."""
    from kdray.registry import Registry

    version = Registry(registry).rollback(name, alias)
    console.print(f"{name}: {alias} is version {version} again.")


def export(
    model: ModelVersion,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder.")],
    registry: RegistryUri = "registry",
) -> None:
    """Copy a version to a folder, every file compared with its checksum."""
    from kdray.registry import Registry

    known = Registry(registry)
    name, version = _resolved(known, model)
    known.export(name, version, folder)
    console.print(f"{name}, version {version}, is in {folder}.")


def _resolved(known: Any, model: str) -> tuple[str, int]:
    name, _, version = model.partition("@")
    return name, known.resolve(name, version or "champion")


def _what(facts: dict[str, Any]) -> list[tuple[str, str]]:
    params = _pairs(facts["model"]["params"])
    return [
        ("aliases", _joined(a for a, n in facts["aliases"].items() if n == facts["version"])),
        ("model", f"{facts['model']['name']}{f' ({params})' if params else ''}"),
        ("id in its job", facts["id"]),
        ("trained as", facts["role"]),
        ("classes", _joined(facts["classes"])),
        ("input", f"{facts['image_size']} x {facts['image_size']} x {facts['channels']}"),
        (
            "weights",
            f"{facts['weights']['bytes']:,} bytes, SHA-256 {facts['weights']['sha256'][:16]}",
        ),
    ]


def _scores(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    from kdray.registry.card import spread

    return [
        (split, score, spread(value))
        for split, scores in summary.items()
        for score, value in scores.items()
        if value is not None
    ]


def _show_explanations(explanations: dict[str, Any]) -> None:
    from kdray.registry.explained import agreement_table, score_table, verdicts

    for title, (head, rows) in (
        ("Explanations", score_table(explanations)),
        ("Agreement with the teacher's maps", agreement_table(explanations)),
        ("Maps of randomised weights", (["method", "verdict"], list(verdicts(explanations)))),
    ):
        if rows:
            print_table(title, head, rows)


def _grouped(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _joined(items: Any) -> str:
    return ", ".join(str(item) for item in items)


def _pairs(items: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in items.items())
