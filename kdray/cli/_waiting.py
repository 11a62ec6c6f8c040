"""A job on the screen while one waits for its end."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

import typer
from rich.console import Console

from kdray.cli._output import console, err
from kdray.cli._words import Teller
from kdray.errors import LaunchError, StoreError
from kdray.launch.found import Found
from kdray.launch.sending import Submission, wait
from kdray.run.journal import read_events

#: Lines of the log of a driver that failed before it could write down why.
_LAST = 20


def await_end(submission: Submission, *, quiet: bool) -> Found:
    """Return a job once it is over, or, of a service, once it serves.

    Args:
        submission: The job.
        quiet: Do not show what it does meanwhile.

    Raises:
        typer.Exit: The user no longer waits; the job goes on.
    """
    shown = _Shown(submission.found, quiet)
    found = submission.found
    try:
        for found in wait(submission):
            shown.show(found)
            shown.follow(found)
    except KeyboardInterrupt:
        err(f"{found.job} is no longer waited for, and goes on.")
        raise typer.Exit(130) from None
    if not quiet:
        _conclude(found, shown.has_followed)
    return found


def _conclude(found: Found, has_followed: bool) -> None:
    if found.state in ("finished", "running"):
        done = "finished" if found.state == "finished" else "running: it serves"
        console.print(f"{found.job} is {done}.", highlight=False)
    elif not found.is_here and found.journal is None and not has_followed:
        for line in _last_lines(found):
            console.print(line, markup=False, highlight=False)


def _last_lines(found: Found) -> list[str]:
    """Return the end of what a job has printed that has written nothing to its storage."""
    text: deque[str] = deque(maxlen=200)
    with suppress(LaunchError):
        text.extend(found.place.logs(found.id))
    return [line for line in "".join(text).splitlines() if line.strip()][-_LAST:]


class _Shown:
    """Prints what is new of a job: its events as lines, and why it waits.

    Where its storage is not seen, its log is shown instead, once, as it grows.
    """

    def __init__(self, found: Found, quiet: bool) -> None:
        self._quiet = quiet
        self._said = ("", "")
        self._teller = Teller()
        before = [] if quiet or found.is_here else _events(found)
        for event in before:
            list(self._teller.lines(event))  # not shown, and needed to know the steps by name
        self._events = len(before)
        self._notes: tuple[str, ...] = ()
        self.has_followed = False

    def show(self, found: Found) -> None:
        """Print what has changed since the last time."""
        if self._quiet or found.is_here:
            return
        if found.journal is None or found.state == "pending":
            self._say(found)
        if found.notes != self._notes:
            self._notes = found.notes
            for note in found.notes:
                Console(stderr=True, soft_wrap=True).print(note, style="dim", markup=False)
        events = _events(found) if found.journal is not None else []
        for event in events[self._events :]:
            for line in self._teller.lines(event):
                console.print(line, markup=False, highlight=False)
        self._events = max(self._events, len(events))

    def follow(self, found: Found) -> None:
        """Print the log of a job whose events are not seen here, until it ends."""
        is_service = found.launch is not None and found.launch.order.kind == "Service"
        is_seen = self._quiet or found.is_here or found.store is not None
        if is_seen or is_service or self.has_followed or found.state != "running":
            return
        self.has_followed = True
        with suppress(LaunchError):  # the next look tells, if it is more than this log
            for text in found.place.logs(found.id, follow=True):
                typer.echo(text, nl=False)

    def _say(self, found: Found) -> None:
        said = (found.state, found.reason)
        if said != self._said and not found.is_over:
            self._said = said
            console.print(": ".join(filter(None, said)), markup=False, highlight=False)


def _events(found: Found) -> list[dict[str, object]]:
    """Return the job's events so far; none while its storage does not answer."""
    if found.store is None:
        return []
    try:
        return read_events(found.store, found.job)
    except StoreError:
        return []
