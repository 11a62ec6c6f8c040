"""``kdray status``: how far a job is."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import typer
from rich.text import Text

from kdray.cli._jobs import AnyJob, StorageUri, To
from kdray.cli._output import Json, console, print_json
from kdray.cli._progress import Screen, picture
from kdray.cli._view import View
from kdray.launch.found import Found, find
from kdray.run.journal import read_events

#: What to show first of a job that has written nothing yet, and in which colour.
_STYLES = {"pending": "yellow", "running": "cyan", "finished": "green", "stopped": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def status(
        job: AnyJob, to: To = None, storage: StorageUri = None, as_json: Json = False
    ) -> None:
        """Show how far a job is: its steps, progress, best score and time left.

        Exits 0 whatever the state is; scripts read `state` of `--json`.
        """
        found = find(job, to, storage)
        view = _view(found)
        now = _now(found)
        if as_json:
            print_json(_facts(found, view, now))
            return
        if found.journal is None:
            _show_sighting(found)
        else:
            _show_journal(found, view, now)
        for note in found.notes:
            console.print(Text(f"note: {note}", style="dim"))


def _view(found: Found) -> View:
    view = View(read_events(found.store, found.job) if found.journal and found.store else ())
    if found.state != "running":
        view.close(found.state)
    view.job, view.state, view.error = found.job, found.state, found.reason
    return view


def _now(found: Found) -> float:
    """Return the moment to show: now, or when the job was last heard of."""
    if found.journal is None or found.state in ("running", "pending"):
        return time.time()
    return float(found.journal["updated"])


def _show_journal(found: Found, view: View, now: float) -> None:
    utf = console.encoding.lower().startswith("utf")
    for line in picture(view, now, Screen(console.width, 10_000, utf)):
        console.print(line)
    state = found.journal or {}
    console.print(Text(f"Driver: process {state['pid']} on {state['host']}", style="dim"))
    if not found.is_here:
        console.print(Text(f"Place:  {found.id} at {found.where}", style="dim"))


def _show_sighting(found: Found) -> None:
    """Show a job that has written nothing, or whose storage cannot be read from here."""
    line = Text(f"{found.job}  ", style="bold")
    line.append(found.state, style=_STYLES.get(found.state, "bold red"))
    console.print(line)
    if found.reason:
        console.print(Text(found.reason))
    console.print(Text(f"Place:   {found.id} at {found.where}", style="dim"))
    seen = found.seen
    for title, value in (
        ("Sent:    ", _clock(seen.created if seen else None)),
        ("Began:   ", _clock(seen.started if seen else None)),
        ("Ended:   ", _clock(seen.ended if seen else None)),
        ("Storage: ", found.uri.partition("?")[0]),
        ("Log:     ", seen.log if seen else ""),
    ):
        if value:
            console.print(Text(f"{title}{value}", style="dim"))


def _clock(when: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when)) if when else ""


def _facts(found: Found, view: View, now: float) -> dict[str, Any]:
    facts: dict[str, Any] = {**(found.journal or {}), "job": found.job, "state": found.state}
    facts |= {"error": found.reason, "id": found.id, "where": found.where}
    facts |= {"storage": found.uri, "notes": list(found.notes)}
    facts["seen"] = asdict(found.seen) if found.seen else None
    if found.journal is not None:
        facts["elapsed"] = round(now - float(found.journal["started"]), 3)
        facts |= {"score": view.score, "steps": view.facts(now)}
    return facts
