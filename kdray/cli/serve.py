"""``kdray serve``: registered models behind an API and a page."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from kdray.cli._output import Sets
from kdray.errors import JobError
from kdray.spec import Service, parse_job

_FORWARDED = (signal.SIGINT, signal.SIGTERM)
RegistryUri = Annotated[
    str | None,
    typer.Option(
        "--registry", metavar="URI", help="Folder or s3://bucket/prefix; else the spec's."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("serve")(serve)


def serve(  # noqa: PLR0913 - one argument for each option
    what: Annotated[
        str,
        typer.Argument(
            metavar="SPEC|MODEL", help="Job file of kind Service, or NAME[@VERSION] of a model."
        ),
    ],
    sets: Sets = None,
    registry: RegistryUri = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 0.0.0.0 opens it to the network.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.")] = None,
    edge: Annotated[
        bool, typer.Option("--edge", help="One small process, without Ray and PyTorch.")
    ] = False,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Ask for no key; anybody on this machine may ask.")
    ] = False,
) -> None:
    """Serve models with a page and an API until Ctrl-C.

    The page is at `/`, the API's documentation at `/docs`. Where the job names no keys, one is
    made at the start and printed.
    """
    given = {"registry": registry, "host": host, "port": port, "auth": "none" if no_auth else None}
    overrides = [f"{key}={value}" for key, value in given.items() if value is not None]
    raise typer.Exit(_run(_service(what, [*(sets or []), *overrides]), edge))


def _service(what: str, sets: list[str]) -> Service:
    from kdray.plan import read_job

    if Path(what).suffix not in (".yaml", ".yml") and not Path(what).is_file():
        name = what.partition("@")[0]
        text = f"{{apiVersion: kdray/v1, kind: Service, name: {name}, models: ['{what}']}}"
        job = parse_job(text, f"model {what}", sets)
    else:
        job = read_job(what, sets)
    if not isinstance(job, Service):
        raise JobError(what, "is an Experiment, not a Service.", "Use `kdray run` for it.")
    return job


def _run(service: Service, edge: bool) -> int:
    """Serve in a process of its own, which gets our signals; return its exit code."""
    with tempfile.TemporaryDirectory(prefix="kdray-serve-") as folder:
        config = Path(folder) / "service.json"
        config.write_text(service.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-m", "kdray_serve", "--config", str(config)]
        child = subprocess.Popen([*command, *(["--edge"] if edge else [])])

        def forward(number: int, _frame: object) -> None:
            child.send_signal(number)

        before = {number: signal.signal(number, forward) for number in _FORWARDED}
        try:
            return child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
