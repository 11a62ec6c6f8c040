"""``kdray schema``: JSON Schema of the job files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kdray.cli._output import console
from kdray.errors import StoreError
from kdray.spec import json_schema

Out = Annotated[Path | None, typer.Option("--out", help="Write it to this file.", dir_okay=False)]


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def schema(out: Out = None) -> None:
        """Print the JSON Schema of job files, with which editors complete and check them.

        A job file names it in its first line:

        `# yaml-language-server: $schema=PATH/kdray-v1.json`
        """
        text = json.dumps(json_schema(), indent=2)
        if out is None:
            typer.echo(text)
            return
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(str(out), f"cannot be written: {error.strerror}.") from error
        console.print(f"Wrote {out}", markup=False, highlight=False)
