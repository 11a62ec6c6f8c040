"""What every verb prints with: facts as a table or as JSON, errors on standard error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

#: ``--json`` of every command that prints facts.
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
#: A job file.
SpecFile = Annotated[str, typer.Argument(help="Job file (YAML).", metavar="SPEC")]
#: ``--set`` of every command that reads a job file.
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a field: path.to.field=value; may be repeated."),
]

console = Console(soft_wrap=True)


def err(message: str) -> None:
    """Print an error, one line for each problem, to standard error."""
    stream = Console(stderr=True, soft_wrap=True, highlight=False)
    for line in message.splitlines():
        stream.print(f"[red]error[/red] {escape(line)}")


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, default=str))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows of facts as a table."""
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")  # a name cut short cannot be typed
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console.print(table)
