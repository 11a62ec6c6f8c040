"""``kdray jobs``: the jobs of a storage."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from kdray.cli._jobs import DEFAULT
from kdray.cli._output import Json, console, print_json, print_table
from kdray.cli._words import clock
from kdray.run.journal import list_jobs
from kdray.store import Store


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def jobs(
        storage: Annotated[
            str, typer.Option("--storage", help="Folder or s3://bucket/prefix of the results.")
        ] = DEFAULT,
        as_json: Json = False,
    ) -> None:
        """List the jobs of a storage, the latest first."""
        found = list_jobs(Store(storage))
        if as_json:
            print_json(found)
        elif found:
            rows = [_row(state) for state in found]
            print_table("", ("job", "state", "step", "started", "took", "job file"), rows)
        else:
            console.print(f"No job was started in {storage!r} yet.", highlight=False)


def _row(state: dict[str, Any]) -> tuple[str, ...]:
    started = float(state.get("started") or 0)
    ended = time.time() if state["state"] == "running" else float(state.get("updated") or started)
    shown = time.strftime("%Y-%m-%d %H:%M", time.localtime(started))
    facts = (state["job"], state["state"], state.get("step") or "", shown)
    return (*facts, clock(ended - started), str(state.get("spec") or "").partition("\n")[0])
