"""``kdray report``: one HTML file with everything a job found out."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from kdray.cli._jobs import AnyJob, StorageUri, To, with_results
from kdray.cli._output import Json, console, print_json
from kdray.cli._results import find_results, find_suite
from kdray.errors import StoreError
from kdray.store import Store


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def report(
        job: AnyJob,
        to: To = None,
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
        name, store, html = _written(*with_results(job, to, storage))
        file = f"jobs/{name}/report.html"
        if out is None:
            store.write(file, html)
        else:
            _write(Path(out), html)
        where = out or store.path(file) if out or store.is_local else f"{store.uri}/{file}"
        if as_json:
            print_json({"job": name, "report": where, "bytes": len(html)})
        else:
            console.print(f"Report: {where}", highlight=False)
        if open_it:
            webbrowser.open(Path(where).absolute().as_uri())


def _written(job: str, storage: str | None) -> tuple[str, Store, bytes]:
    """Return the name, the storage and the report of a job or a suite."""
    suite = find_suite(job, storage)
    from kdray.report import compare, write_report, write_suite_report  # slow: matplotlib
    from kdray.run.job import results_of

    if suite is not None:
        spec, store = suite
        html = write_suite_report(compare(spec, results_of(spec, store)), store)
        return spec.name, store, html.encode()
    found = find_results(job, storage)
    html = write_report(found.results, found.store, found.spec_text)
    return found.job, found.store, html.encode()


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StoreError(str(path), f"cannot be written: {error.strerror}.") from error
