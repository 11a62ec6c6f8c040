"""``kdray run``: perform a job to its end, here, showing progress."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from kdray.cli._output import Json, Sets, SpecFile, console, print_json
from kdray.plan import experiments_of, read_work
from kdray.spec import Suite


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
        as_json: Json = False,
    ) -> None:
        """Run a job to its end: train, search, distil, measure, explain, promote.

        Finished steps are passed over; Ctrl-C stops cleanly, and the same command continues. Of a
        suite, every experiment is run, and the published tables are shown beside the measured.
        """
        job = read_work(spec, sets)
        # Heavy imports wait until the job file is known to be right.
        from kdray.cli._progress import Progress
        from kdray.run.job import run_job
        from kdray.run.smoke import smoke as small

        job = small(job) if smoke else job
        signal.signal(signal.SIGTERM, _interrupt)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # `nohup` and `&` may ignore it
        options = [*(f"--set={item}" for item in sets or []), *(["--smoke"] if smoke else [])]
        command = shlex.join(["kdray", "run", spec, *options])
        with Progress(console, plain=plain or as_json) as progress:
            results = run_job(
                job,
                Path(spec).read_text(encoding="utf-8"),
                [] if as_json else [progress],
                place=str(Path(spec).absolute()),
                command=command,
                here=smoke,
            )
        storage = experiments_of(job)[0].storage.uri
        if as_json:
            print_json(results)
        elif isinstance(job, Suite):
            _conclude_suite(results, storage)
        else:
            _conclude(results, storage)


def _interrupt(_signal: int, _frame: Any) -> None:
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
