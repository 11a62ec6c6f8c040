"""``kdray registry``: the kept models, their versions and aliases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kdray.cli import _registry
from kdray.cli._output import Json, console, print_json, print_table
from kdray.errors import JobError

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
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the alias's history.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    verbs = typer.Typer(no_args_is_help=True, help="Kept models: versions, aliases, model cards.")
    verbs.command("list")(list_models)
    verbs.command("show")(show)
    verbs.command("add")(add)
    verbs.command("promote")(promote)
    verbs.command("rollback")(rollback)
    verbs.command("history")(history)
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
        print_table(
            f"Models in {registry.partition('?')[0]}",
            ("name", "versions", "aliases"),
            [
                (row["name"], _registry.joined(row["versions"]), _registry.pairs(row["aliases"]))
                for row in rows
            ],
        )


def show(model: ModelVersion, registry: RegistryUri = "registry", json: Json = False) -> None:
    """Show a version: what it is, its scores, what serves it and where it comes from."""
    from kdray.registry import Registry

    known = Registry(registry)
    facts = known.describe(*_resolved(known, model))
    facts["aliases"] = known.aliases(facts["name"])
    facts["history"] = {alias: known.history(facts["name"], alias) for alias in facts["aliases"]}
    if json:
        print_json(facts)
    else:
        _registry.show(facts)


def add(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A package: an exported model.")],
    name: Annotated[str, typer.Option("--name", help="Name in the registry.")],
    registry: RegistryUri = "registry",
    json: Json = False,
) -> None:
    """Register a package folder as a new version, every file compared with its checksum.

    The same files again are the same version. No alias moves.
    """
    from kdray.registry import Registry, content_key

    version = Registry(registry).add(name, folder, key=content_key(folder))
    if json:
        print_json({"name": name, "version": version})
    else:
        console.print(f"{folder} is {name}, version {version}.", highlight=False)


def promote(  # noqa: PLR0913 - one for each option
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME[@VERSION]", help="Name, and version number or alias; else the newest."
        ),
    ],
    version: Annotated[
        int | None, typer.Argument(help="Version number, if it is not in NAME@VERSION.")
    ] = None,
    alias: Alias = "champion",
    min_macro_f1: Annotated[
        float | None, typer.Option(help="Least macro F1 on the validation split.")
    ] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Most milliseconds for one image, as its job measured.")
    ] = None,
    min_agreement: Annotated[
        float | None, typer.Option(help="Least Pearson correlation with its teacher's maps.")
    ] = None,
    beats_champion: Annotated[
        bool,
        typer.Option(
            "--beats-champion", help="Ask for a paired test against the present version."
        ),
    ] = False,
    confidence: Annotated[float, typer.Option(help="Level of that test's interval.")] = 0.95,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge it, move nothing.")] = False,
    reason: Reason = "",
    registry: RegistryUri = "registry",
    json: Json = False,
) -> None:
    """Let an alias point at a version if it reaches what is asked; `rollback` undoes it."""
    require = _registry.require_of(
        min_macro_f1=min_macro_f1,
        max_latency_ms=max_latency_ms,
        min_agreement=min_agreement,
        beats_champion=beats_champion,
        confidence=confidence,
    )
    from kdray.registry import Registry, judge, promote_if

    known = Registry(registry)
    name, number = _chosen(known, model, version)
    if dry_run:
        verdict = judge(known, name, number, require, alias)
    else:
        verdict = promote_if(known, name, number, require, alias, reason)
    facts = _registry.verdict_facts(name, alias, verdict, dry_run=dry_run)
    if json:
        print_json(facts)
    else:
        _registry.show_verdict(facts)
    if not verdict.passed:
        raise typer.Exit(1)


def rollback(
    name: ModelName,
    alias: Alias = "champion",
    reason: Reason = "",
    registry: RegistryUri = "registry",
    json: Json = False,
) -> None:
    """Let an alias point at the version before."""
    from kdray.registry import Registry

    version = Registry(registry).rollback(name, alias, reason)
    if json:
        print_json({"name": name, "alias": alias, "version": version})
    else:
        console.print(f"{name}: {alias} is version {version} again.")


def history(
    name: ModelName,
    alias: Annotated[str, typer.Option("--alias", help="The alias.")] = "champion",
    registry: RegistryUri = "registry",
    json: Json = False,
) -> None:
    """Show when an alias moved, to which version, and why."""
    from kdray.registry import Registry

    moves = Registry(registry).history(name, alias)
    if json:
        print_json(moves)
    elif not moves:
        console.print(f"{name}: no move of {alias} is recorded.")
    else:
        _registry.show_history(f"{name}: {alias}", moves)


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


def _chosen(known: Any, model: str, version: int | None) -> tuple[str, int]:
    """Return the version to promote: the one that is named, or the newest."""
    name, at, text = model.partition("@")
    if at and version is not None:
        problem = f"names two versions: {text} and {version}."
        raise JobError("registry promote", problem, "Name one.")
    if at:
        return name, known.resolve(name, text)
    newest = version if version is not None else max(known.versions(name), default=1)
    return name, known.resolve(name, str(newest))
