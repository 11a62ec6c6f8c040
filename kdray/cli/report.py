"""``kdray report``: one HTML file with everything a job found out."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from kdray.cli._jobs import JobOrSpec, StorageUri
from kdray.cli._output import Json, console, print_json
from kdray.cli._results import find_results
from kdray.errors import StoreError


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def report(
        job: JobOrSpec,
        storage: StorageUri = None,
        out: Annotated[
            str | None,
            typer.Option(help="File to write.", show_default="report.html beside the results"),
        ] = None,
        open_it: Annotated[
            bool, typer.Option("--open/--no-open", help="Open it in the browser.")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Write the report of a job: tables, curves, searches, explanations, lineage.

        The file needs nothing beside itself: it can be mailed, archived and printed.
        """
        found = find_results(job, storage)
        from kdray.report import write_report  # slow: matplotlib

        html = write_report(found.results, found.store, found.spec_text).encode()
        name = f"jobs/{found.job}/report.html"
        if out is None:
            found.store.write(name, html)
        else:
            _write(Path(out), html)
        where = (
            out or found.store.path(name)
            if out or found.store.is_local
            else f"{found.store.uri}/{name}"
        )
        if as_json:
            print_json({"job": found.job, "report": where, "bytes": len(html)})
        else:
            console.print(f"Report: {where}", highlight=False)
        if open_it:
            webbrowser.open(Path(where).absolute().as_uri())


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StoreError(str(path), f"cannot be written: {error.strerror}.") from error
