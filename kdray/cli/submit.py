"""``kdray submit``: run a job in the background."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from kdray.cli._output import Json, Sets, SpecFile, console, err, print_json
from kdray.launch.local import Submitted, wait_for
from kdray.launch.local import submit as submit_here
from kdray.plan.read import experiments_of, read_work
from kdray.store import Store

#: Exit codes of ``--wait``, by the state in which the job ended.
CODES = {"finished": 0, "stopped": 130}


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def submit(
        spec: SpecFile,
        sets: Sets = None,
        wait: Annotated[
            bool, typer.Option("--wait", help="Wait for its end; exit 0 only if it finished.")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Run a job in the background on this machine; a job that runs already is left alone.

        It lives on when the terminal closes. Its log is kept with its results; where those are
        in an object store, the log stays on this machine.
        """
        job = read_work(spec, sets)
        uri = experiments_of(job)[0].storage.uri
        submitted = submit_here(spec, sets or ())
        if not as_json:
            console.print(_told(submitted, uri), highlight=False)
        state = _awaited(Store(uri), submitted) if wait else {}
        if as_json:
            print_json({**asdict(submitted), **({"end": state} if wait else {})})
        if wait and state["state"] != "finished":
            err(f"{job.name}: {state['state']}. {state.get('error') or ''}".rstrip())
            raise typer.Exit(CODES.get(state["state"], 1))
        if wait and not as_json:
            console.print(f"{job.name} is finished.", highlight=False)


def _told(submitted: Submitted, uri: str) -> str:
    job = submitted.job
    where = "" if uri == "runs" else f" --storage {uri}"
    if submitted.state == "finished":
        first = f"{job} is finished."
    elif submitted.attached:
        first = f"{job} is already running as process {submitted.pid}; nothing was started."
    else:
        first = f"{job} is {submitted.state} as process {submitted.pid}."
    return (
        f"{first}\n"
        f"  follow it: kdray logs -f {job}{where}\n"
        f"  its steps: kdray status {job}{where}\n"
        f"  end it:    kdray stop {job}{where}\n"
        f"  log:       {submitted.log}"
    )


def _awaited(store: Store, submitted: Submitted) -> dict[str, Any]:
    """Return the state in which a job ends."""
    try:
        return wait_for(store, submitted)
    except KeyboardInterrupt:
        err(f"{submitted.job} is no longer waited for, and goes on.")
        raise typer.Exit(130) from None
