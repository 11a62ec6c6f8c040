"""``kdray status``: how far a job is."""

from __future__ import annotations

import time
from typing import Any

import typer
from rich.text import Text

from kdray.cli._jobs import JobOrSpec, StorageUri, find_job
from kdray.cli._output import Json, console, print_json
from kdray.cli._progress import Screen, picture
from kdray.cli._view import View
from kdray.run.journal import read_events


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def status(job: JobOrSpec, storage: StorageUri = None, as_json: Json = False) -> None:
        """Show how far a job is: its steps, progress, best score and time left.

        Exits 0 whatever the state is; scripts read `state` of `--json`.
        """
        store, _, state = find_job(job, storage)
        view = View(read_events(store, state["job"]))
        if state["state"] != "running":
            view.close(state["state"])
        now = _now(state)
        if as_json:
            print_json(_facts(state, view, now))
            return
        view.job, view.state = state["job"], state["state"]
        view.error = state.get("error") or ""
        utf = console.encoding.lower().startswith("utf")
        for line in picture(view, now, Screen(console.width, 10_000, utf)):
            console.print(line)
        console.print(Text(f"Driver: process {state['pid']} on {state['host']}", style="dim"))


def _now(state: dict[str, Any]) -> float:
    """Return the moment to show: now, or when the job was last heard of."""
    return time.time() if state["state"] == "running" else float(state["updated"])


def _facts(state: dict[str, Any], view: View, now: float) -> dict[str, Any]:
    elapsed = round(now - float(state["started"]), 3)
    return {**state, "elapsed": elapsed, "score": view.score, "steps": view.facts(now)}
