"""``kdray stop``: end a job, here or on a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from kdray.cli._jobs import AnyJob, StorageUri, To
from kdray.cli._output import Json, console, print_json
from kdray.launch.found import find


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def stop(
        job: AnyJob,
        to: To = None,
        storage: StorageUri = None,
        wait: Annotated[
            float, typer.Option("--wait", min=0, help="Seconds it may take to stop cleanly.")
        ] = 60.0,
        as_json: Json = False,
    ) -> None:
        """Stop a job as Ctrl-C does; running or submitting it again continues it."""
        found = find(job, to, storage)

        def tell(sentence: str) -> None:
            if not as_json:
                console.print(sentence, markup=False, highlight=False)

        if not found.is_here and found.is_over:
            done = f"{found.job} is {found.state}: there is nothing to stop."
        else:
            done = found.place.stop(found.id, wait, tell)
        if as_json:
            print_json({"job": found.job, "done": done})
        else:
            console.print(done, markup=False, highlight=False)
