"""``kdray knowledge``: what is recorded of teachers in a storage, and its removal."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdray.cli._jobs import DEFAULT
from kdray.cli._output import Json, console, print_json, print_table
from kdray.errors import JobError
from kdray.store import Store

if TYPE_CHECKING:
    from kdray.run.kept import Kept

StorageUri = Annotated[
    str, typer.Option("--storage", help="Folder or s3://bucket/prefix of the results.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Records = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RECORD...",
        help="What to remove: names of `list`, or how they begin. Else what no step uses.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    verbs = typer.Typer(no_args_is_help=True, help="Recorded knowledge: what there is, removal.")
    verbs.command("list")(list_records)
    verbs.command("prune")(prune)
    app.add_typer(verbs, name="knowledge")


def list_records(storage: StorageUri = DEFAULT, json: Json = False) -> None:
    """List what is recorded of the teachers in a storage, the largest first."""
    from kdray.run.kept import kept

    found = kept(Store(storage))
    if json:
        print_json([_facts(item) for item in found])
    elif not found:
        console.print(f"Nothing is recorded in {storage!r}.", highlight=False)
    else:
        _table(f"Recorded in {storage}", found)


def prune(
    records: Records = None, storage: StorageUri = DEFAULT, yes: Yes = False, json: Json = False
) -> None:
    """Remove records that no finished step and no running job names, or those that are named.

    A job that needs them later makes them again.
    """
    from kdray.run.kept import kept, remove

    store = Store(storage)
    chosen = _chosen(kept(store), records, storage)
    if not json and chosen:
        _table("To be removed", chosen)
    if chosen and not yes:
        typer.confirm("Remove them?", abort=True, err=json)
    for item in chosen:
        remove(store, item)
    if json:
        print_json([_facts(item) for item in chosen])
    else:
        from kdray.knowledge.names import in_words

        size = in_words(sum(item.bytes for item in chosen))
        console.print(f"Removed {len(chosen)}: {size}.", highlight=False)


def _chosen(found: list[Kept], names: list[str] | None, storage: str) -> list[Kept]:
    if not names:
        return [item for item in found if not item.is_used]
    chosen: dict[str, Kept] = {}
    for name in names:
        meant = [item for item in found if item.key.startswith(name)]
        if len(meant) != 1:
            problem = "several records begin so." if meant else "no records of this name are here."
            raise JobError(name, problem, f"See `kdray knowledge list --storage {storage}`.")
        chosen[meant[0].key] = meant[0]
    return list(chosen.values())


def _facts(item: Kept) -> dict[str, Any]:
    return {**asdict(item), "used": item.is_used}


def _table(title: str, found: list[Kept]) -> None:
    from kdray.knowledge.names import in_words

    rows = [
        (
            item.key,
            item.teacher or "?",
            item.dataset.partition("/")[2].rpartition("-")[0] or "?",
            item.views,
            len(item.columns),
            in_words(item.bytes),
            item.running or "\n".join(step.partition("/")[2] for step in item.steps) or "nobody",
        )
        for item in found
    ]
    columns = ("record", "teacher", "data set", "views", "columns", "size", "used by")
    print_table(title, columns, rows)
