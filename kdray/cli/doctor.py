"""``kdray doctor``: whether this machine can do the work, and what to mend."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from kdray.cli._checks import Check, checks
from kdray.cli._jobs import DEFAULT
from kdray.cli._output import Json, console, print_json

_STYLES = {"ok": "green", "note": "cyan", "warn": "yellow", "fail": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def doctor(
        storage: Annotated[
            str, typer.Option("--storage", help="Storage that shall be written.")
        ] = DEFAULT,
        quick: Annotated[
            bool, typer.Option("--quick", help="Do not import the libraries (some 20 s).")
        ] = False,
        ray: Annotated[
            bool, typer.Option("--ray", help="Start Ray and run a task (some 20 s).")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Check this machine: libraries, memory, disk, storage, Ray. Exit 1 if anything fails."""
        found = []
        for check in checks(storage, libraries=not quick, ray=ray):
            found.append(check)
            if not as_json:
                _show(check)
        if as_json:
            print_json([asdict(check) for check in found])
        if any(check.state == "fail" for check in found):
            raise typer.Exit(1)


def _show(check: Check) -> None:
    line = Text(f"{check.state:<5}", style=_STYLES[check.state])
    line.append(f"{check.name:<16}{check.fact}", style="not bold default")
    console.print(line)
    if check.remedy:
        console.print(Text(f"{'':21}{check.remedy}", style="dim"))
