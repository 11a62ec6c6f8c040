"""``kdray logs``: what a job has printed."""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from kdray.cli._jobs import JobOrSpec, StorageUri, find_job
from kdray.cli._words import Teller
from kdray.launch.local import log_path
from kdray.run.journal import read_events, read_state
from kdray.store import Store

#: How often a followed log is looked at, seconds.
LOOK_S = 0.5


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def logs(
        job: JobOrSpec,
        follow: Annotated[
            bool, typer.Option("--follow", "-f", help="Go on until the job ends.")
        ] = False,
        events: Annotated[
            bool, typer.Option("--events", help="The events as JSON lines, for programs.")
        ] = False,
        storage: StorageUri = None,
    ) -> None:
        """Show a job's log: what its background process printed, or else its events as lines."""
        store, name, state = find_job(job, storage)
        path = log_path(store, name)
        from_events = events or not _is_log_of(path, state)
        source = _event_lines(store, name, as_json=events) if from_events else _text(path)
        _show(source, lambda: follow and _runs(store, name))


def _show(source: Callable[[], Iterator[str]], runs: Callable[[], bool]) -> None:
    """Print what is new in a source, again and again while the job runs, and once more."""
    while True:
        more = runs()
        for text in source():
            typer.echo(text, nl=False)
        if not more:
            return
        time.sleep(LOOK_S)


def _runs(store: Store, job: str) -> bool:
    state = read_state(store, job)
    return state is not None and state["state"] == "running"


def _is_log_of(path: Path, state: dict[str, Any]) -> bool:
    """Return whether a log was written by the last run: one in the foreground has none."""
    return path.exists() and path.stat().st_mtime >= float(state.get("started") or 0)


def _text(path: Path) -> Callable[[], Iterator[str]]:
    """Return a function that yields what a file has grown by."""
    seen = 0
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a letter may be cut

    def new() -> Iterator[str]:
        nonlocal seen
        with open(path, "rb") as file:
            file.seek(seen)
            data = file.read()
        seen += len(data)
        yield decoder.decode(data)

    return new


def _event_lines(store: Store, job: str, *, as_json: bool) -> Callable[[], Iterator[str]]:
    """Return a function that yields the lines of the events that are new."""
    teller = Teller()
    seen = 0

    def new() -> Iterator[str]:
        nonlocal seen
        found = read_events(store, job)
        for event in found[seen:]:
            lines = [json.dumps(event)] if as_json else teller.lines(event)
            yield from (f"{line}\n" for line in lines)
        seen = len(found)

    return new
