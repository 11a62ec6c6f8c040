"""``kdray stop``: end a job that runs on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from kdray.cli._jobs import JobOrSpec, StorageUri, find_job
from kdray.cli._output import Json, console, print_json
from kdray.launch.local import stop as stop_here


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def stop(
        job: JobOrSpec,
        storage: StorageUri = None,
        wait: Annotated[
            float, typer.Option("--wait", min=0, help="Seconds it may take to stop cleanly.")
        ] = 60.0,
        as_json: Json = False,
    ) -> None:
        """Stop a job as Ctrl-C does; running or submitting it again continues it."""
        store, name, _ = find_job(job, storage)

        def tell(sentence: str) -> None:
            if not as_json:
                console.print(sentence, highlight=False)

        done = stop_here(store, name, wait, tell)
        if as_json:
            print_json({"job": name, "done": done})
        else:
            console.print(done, highlight=False)
