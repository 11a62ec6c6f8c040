"""``kdray run``: perform a job to its end, here, showing progress."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from kdray.cli._output import Json, Sets, SpecFile, console, print_json
from kdray.plan import experiments_of, read_work
from kdray.run.driver import LAUNCH
from kdray.run.output import LOG_TO_STORAGE, Output
from kdray.spec import Experiment, Suite
from kdray.store import Store


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def run(
        spec: SpecFile,
        sets: Sets = None,
        plain: Annotated[
            bool, typer.Option("--plain", help="Log lines instead of a live view.")
        ] = False,
        smoke: Annotated[
            bool,
            typer.Option(
                "--smoke",
                help="Try it out first: a few drawn images, one training step each, no search, "
                "without Ray; results go to STORAGE/smoke.",
            ),
        ] = False,
        log_to_storage: Annotated[
            bool,
            typer.Option(
                "--log-to-storage",
                envvar=LOG_TO_STORAGE,
                help="Keep what is printed in the storage too, as jobs/JOB/log/*.txt.",
            ),
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Run a job to its end: train, search, distil, measure, explain, promote.

        Finished steps are passed over; Ctrl-C stops cleanly, and the same command continues. Of a
        suite, every experiment is run, and the published tables are shown beside the measured.
        """
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # `nohup` and `&` may ignore it
        job = read_work(spec, sets)
        # Heavy imports wait until the job file is known to be right.
        from kdray.run.smoke import smoke as small

        job = small(job) if smoke else job
        options = [*(f"--set={item}" for item in sets or []), *(["--smoke"] if smoke else [])]
        # The file of a driver at a cluster is a copy that nobody can run.
        sent = os.environ.get(LAUNCH)
        command = "kdray submit" if sent else shlex.join(["kdray", "run", spec, *options])
        with _kept(job) if log_to_storage else nullcontext():
            _run(job, _Call(spec, command, plain=plain, here=smoke, as_json=as_json))


@dataclass(frozen=True)
class _Call:
    """How the verb was called."""

    spec: str
    command: str
    plain: bool
    here: bool
    as_json: bool


def _run(job: Experiment | Suite, call: _Call) -> None:
    from kdray.cli._progress import Progress
    from kdray.run.job import run_job

    with Progress(console, plain=call.plain or call.as_json) as progress:
        results = run_job(
            job,
            Path(call.spec).read_text(encoding="utf-8"),
            [] if call.as_json else [progress],
            place=str(Path(call.spec).absolute()),
            command=call.command,
            here=call.here,
        )
    storage = experiments_of(job)[0].storage.uri
    if call.as_json:
        print_json(results)
    elif isinstance(job, Suite):
        _conclude_suite(results, storage)
    else:
        _conclude(results, storage)


def _kept(job: Experiment | Suite) -> Output:
    """Return the block in which what is printed goes to the job's storage too."""
    return Output(Store(experiments_of(job)[0].storage.uri), job.name)


def _end(_signal: int, _frame: Any) -> None:
    """End as Ctrl-C does; what asks to end asks once more while the job is being closed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.alarm(0)  # Ray's handler, which runs before, lets SIGALRM abort this process in 3 s
    raise KeyboardInterrupt


def _conclude(results: dict[str, Any], storage: str) -> None:
    from kdray.cli.results import show
    from kdray.report import wording

    show(results)
    promoted = results["promoted"]
    name, moved = promoted["name"], promoted.get("moved", True)
    other = f" --registry {shlex.quote(promoted['registry'])}"
    registry = "" if promoted["registry"] == "registry" else other
    report = f"{storage.partition('?')[0]}/jobs/{results['job']}/report.html"
    console.print(f"Report:     {escape(report)}", highlight=False)
    console.print(f"Registered: {escape(wording.registered(results))}", highlight=False)
    served = name if moved else f"{name}@{promoted['version']}"
    console.print(f"Serve it:   {_kdray()} serve {served}{escape(registry)}", highlight=False)


def _conclude_suite(compared: dict[str, Any], storage: str) -> None:
    from kdray.cli.results import show_suite

    show_suite(compared)
    folder = f"{storage.partition('?')[0]}/jobs"
    console.print(f"Report: {folder}/{compared['suite']}/report.html", highlight=False)


def _kdray() -> str:
    """Return how the user calls this program."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "kdray" and "/" in sys.argv[0] else "kdray"
