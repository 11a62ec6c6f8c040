"""``kdray logs``: what a job has printed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from kdray.cli._jobs import AnyJob, StorageUri, To
from kdray.cli._output import err
from kdray.cli._words import Teller
from kdray.errors import LaunchError
from kdray.launch.found import Found, find
from kdray.run.journal import read_events
from kdray.run.output import growing_log
from kdray.store import Store

#: How often the events of a job are looked at, seconds: on this machine, and elsewhere.
LOOK_S = (0.5, 2.0)


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def logs(
        job: AnyJob,
        follow: Annotated[
            bool, typer.Option("--follow", "-f", help="Go on until the job ends.")
        ] = False,
        events: Annotated[
            bool, typer.Option("--events", help="The events as JSON lines, for programs.")
        ] = False,
        to: To = None,
        storage: StorageUri = None,
    ) -> None:
        """Show a job's log: what its background process printed, or else its events as lines."""
        found = find(job, to, storage)
        source = _events(found, follow, as_json=True) if events else _log(found, follow)
        is_empty = True
        for text in source:
            is_empty = is_empty and not text
            typer.echo(text, nl=False)
        if is_empty:
            found = found.again()
            said = f"{found.job} is {found.state} and has printed nothing. {found.reason}"
            typer.echo(said.rstrip(), err=True)


def _log(found: Found, follow: bool) -> Iterator[str]:
    """Yield what the place has of a job's log, or what the storage has of it."""
    is_empty = True
    try:
        for text in found.place.logs(found.id, follow):
            is_empty = is_empty and not text
            yield text
    except LaunchError as error:
        if not is_empty or found.store is None or found.journal is None:
            raise
        err(f"{error} This is what the storage has:")
    if is_empty and found.store is not None and found.journal is not None:
        yield from _kept(found, found.store, follow)


def _kept(found: Found, store: Store, follow: bool) -> Iterator[str]:
    """Yield the log that a cluster's driver has kept, or else the events as lines."""
    new = growing_log(store, found.job)
    text = "" if found.is_here else "".join(new())
    if not text:
        yield from _events(found, follow, as_json=False)
        return
    yield text
    is_over = not follow
    while not is_over:
        is_over = found.is_over  # the last lines are written after the state
        time.sleep(LOOK_S[1])
        found = found.again()
        yield from new()


def _events(found: Found, follow: bool, *, as_json: bool) -> Iterator[str]:
    """Yield the lines of a job's events, with ``follow`` until it ends."""
    if found.store is None:
        problem = f"its storage {found.uri or '(unknown)'} is not seen from this machine."
        raise LaunchError(found.job, problem, "Leave --events out, or call it where it is seen.")
    new = _Lines(found.store, found.job, as_json)
    while follow and not found.is_over:
        yield from new.lines()
        time.sleep(LOOK_S[not found.is_here])
        found = found.again()
    yield from new.lines()


class _Lines:
    """The events of a job as lines, each once."""

    def __init__(self, store: Store, job: str, as_json: bool) -> None:
        self._store, self._job, self._as_json = store, job, as_json
        self._teller = Teller()
        self._seen = 0

    def lines(self) -> Iterator[str]:
        """Yield the lines that are new."""
        found = read_events(self._store, self._job)
        for event in found[self._seen :]:
            lines = [json.dumps(event)] if self._as_json else self._teller.lines(event)
            yield from (f"{line}\n" for line in lines)
        self._seen = len(found)
