"""``kdray jobs``: the jobs of a storage, or of a cluster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import typer
from rich.markup import escape

from kdray.cli._jobs import StorageUri, To
from kdray.cli._output import Json, console, print_json, print_table
from kdray.cli._words import clock
from kdray.launch.found import Found
from kdray.launch.listing import list_found, started


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def jobs(to: To = None, storage: StorageUri = None, as_json: Json = False) -> None:
        """List the jobs of a storage, or of a place, the latest first."""
        listing = list_found(to, storage)
        if as_json:
            print_json([_facts(found) for found in listing.jobs])
        elif listing.jobs:
            _show(listing.jobs)
        elif storage is None and to is not None:
            console.print(f"No job was sent to {listing.where} yet.", highlight=False)
        else:
            console.print(f"No job was started in {listing.where!r} yet.", highlight=False)
        for note in () if as_json else listing.notes:
            console.print(escape(f"note: {note}"), style="dim", highlight=False)


def _show(jobs: Sequence[Found]) -> None:
    here = all(found.is_here for found in jobs)
    places = {found.where for found in jobs}
    more = {"job file": _file} if here else {"id": _id}
    more |= {"where": _where} if len(places) > 1 else {}
    rows = [(*_row(found), *(told(found) for told in more.values())) for found in jobs]
    title = "" if here or len(places) > 1 else places.pop()
    print_table(title, ("job", "state", "step", "started", "took", *more), rows)
    for found in jobs:
        if not found.is_here and found.reason:
            said = f"{found.id}: {found.reason}"
            console.print(escape(said), highlight=False)


def _row(found: Found) -> tuple[str, ...]:
    begun = started(found)
    shown = time.strftime("%Y-%m-%d %H:%M", time.localtime(begun)) if begun else ""
    took = clock(_ended(found, begun) - begun) if begun else ""
    return (found.job, found.state, (found.journal or {}).get("step") or "", shown, took)


def _ended(found: Found, begun: float) -> float:
    if not found.is_over:
        return time.time()
    if found.journal is not None:
        return float(found.journal.get("updated") or begun)
    return (found.seen.ended if found.seen else None) or begun


def _file(found: Found) -> str:
    return str((found.journal or {}).get("spec") or "").partition("\n")[0]


def _id(found: Found) -> str:
    return "" if found.is_here else found.id


def _where(found: Found) -> str:
    return found.where


def _facts(found: Found) -> dict[str, Any]:
    facts: dict[str, Any] = {**(found.journal or {}), "job": found.job, "state": found.state}
    facts |= {"error": found.reason, "id": found.id, "where": found.where}
    return {**facts, "storage": found.uri, "seen": asdict(found.seen) if found.seen else None}
