"""``kdray doctor``: whether this machine can do the work, and what to mend."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from kdray.cli._checks import checks, storage_check
from kdray.cli._jobs import DEFAULT, To
from kdray.cli._output import Json, console, print_json
from kdray.errors import JobError
from kdray.launch.check import place_checks
from kdray.launch.finding import Check
from kdray.launch.order import check_uri
from kdray.launch.record import storage_seen
from kdray.launch.targets import find_target
from kdray.spec.target import Local, Target

_STYLES = {"ok": "green", "note": "cyan", "warn": "yellow", "fail": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def doctor(
        to: To = None,
        storage: Annotated[
            str | None,
            typer.Option(
                "--storage",
                help="Storage that shall be written; default: the target's, or `runs`.",
                show_default=False,
            ),
        ] = None,
        quick: Annotated[
            bool, typer.Option("--quick", help="Do not import the libraries (some 20 s).")
        ] = False,
        ray: Annotated[
            bool, typer.Option("--ray", help="Start Ray and run a task (some 20 s).")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Check this machine: libraries, memory, disk, storage, Ray. Exit 1 if anything fails.

        With --to a cluster that, instead: whether it answers, what it runs, and whether it lets
        you send jobs. On a Ray cluster a job of one line is run for it; nothing else is made.
        """
        found = []
        target = find_target(to)
        if isinstance(target.place, Local):
            looks = checks(storage or DEFAULT, libraries=not quick, ray=ray)
        else:
            looks = _of_place(target, storage)
        for check in looks:
            found.append(check)
            if not as_json:
                _show(check)
        if as_json:
            print_json([asdict(check) for check in found])
        if any(check.state == "fail" for check in found):
            raise typer.Exit(1)


def _of_place(target: Target, storage: str | None) -> Iterator[Check]:
    """Yield what is found out about a cluster, and about its storage as seen from here."""
    yield from place_checks(target)
    uri = storage or target.storage
    if uri is None:
        fact = "the target names none: jobs have to give a URI that all nodes see"
        yield Check("storage", "note", fact)
        return
    try:
        check_uri("storage", uri, target)
    except JobError as error:
        yield Check("storage", "fail", error.problem, error.remedy)
        return
    if storage_seen(uri, target) is None:
        fact = f"{uri} is a folder of the cluster's nodes, which this machine does not see"
        yield Check("storage", "note", fact)
    else:
        yield storage_check(uri)


def _show(check: Check) -> None:
    line = Text(f"{check.state:<5}", style=_STYLES[check.state])
    line.append(f"{check.name:<16}{check.fact}", style="not bold default")
    console.print(line)
    if check.remedy:
        console.print(Text(f"{'':21}{check.remedy}", style="dim"))
