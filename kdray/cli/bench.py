"""``kdray bench``: what kdray promises of its speed, measured on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from kdray.cli._output import Json, console, print_json, print_table
from kdray.errors import JobError

if TYPE_CHECKING:
    from kdray.bench._plain import Setting
    from kdray.bench._table import Row
    from kdray.bench._timing import Effort

Quick = Annotated[
    bool, typer.Option("--quick", help="64 px and few rounds: whether it works, no measurement.")
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")]
Size = Annotated[int, typer.Option("--image-size", min=32, help="Side of the images, pixels.")]
BatchSize = Annotated[int, typer.Option("--batch-size", min=2, help="Images of a step.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads of a process.")]
Seconds = Annotated[float, typer.Option("--seconds", min=0, help="Time for each row.")]
Device = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="cpu or cuda.")]
Only = Annotated[
    list[str] | None, typer.Option("--only", help="Rows of this kind; may be repeated.")
]
Outputs = Annotated[list[Path], typer.Argument(help="Outputs of search and data.", exists=True)]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Workers, a trial at a time each.")]
Trials = Annotated[int, typer.Option("--trials", min=1, help="Trials of the search.")]
Speedups = Annotated[
    list[float] | None,
    typer.Option(
        "--speedup", min=0.01, help="How many times faster than here a worker is; repeatable."
    ),
]
Cpus = Annotated[float, typer.Option("--cpus", min=0.01, help="CPUs that read for one worker.")]
Pairs = Annotated[
    list[str] | None, typer.Option("--pair", help="Rows whose pair has this in its name.")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    verb = typer.Typer(no_args_is_help=True)
    verb.command("step")(step)
    verb.command("record")(record)
    verb.command("data")(data)
    verb.command("search")(search)
    verb.command("scale")(scale)
    app.add_typer(
        verb, name="bench", help="Measure what kdray promises of its speed, on this machine."
    )


def step(  # noqa: PLR0913 - one argument for each option
    only: Only = None,
    pair: Pairs = None,
    quick: Quick = False,
    as_json: Json = False,
    as_markdown: Markdown = False,
    image_size: Size = 224,
    batch_size: BatchSize = 16,
    threads: Threads = 2,
    seconds: Seconds = 45,
    device: Device = "cpu",
) -> None:
    """A training step with a teacher, against the student alone in plain PyTorch.

    Kinds: recorded, dfkd, hdkd-live, hdkd-recorded, alone.
    """
    from kdray.bench.step import KINDS, chosen  # imports torch
    from kdray.bench.step import step as measure

    strange = sorted(set(only or ()).difference(KINDS))
    cases = chosen(only or (), pair or ())
    if strange or not cases:
        what = f"--only {strange[0]}" if strange else f"--pair {' '.join(pair or ())}"
        raise JobError(what, "names no row.", f"Kinds: {', '.join(KINDS)}.")
    setting, effort = _settings(quick, (image_size, batch_size, threads), device, seconds)
    _run(
        "step", setting, lambda: (measure(setting, effort, cases, _tell), {}), as_json, as_markdown
    )


def record(  # noqa: PLR0913 - one argument for each option
    quick: Quick = False,
    as_json: Json = False,
    as_markdown: Markdown = False,
    image_size: Size = 224,
    threads: Threads = 2,
    seconds: Seconds = 45,
    device: Device = "cpu",
) -> None:
    """Recording a teacher, against its bare forward passes; and what a record takes."""
    from kdray.bench.record import record as measure  # imports torch

    setting, effort = _settings(quick, (image_size, 16, threads), device, seconds)
    _run("record", setting, lambda: (measure(setting, effort, _tell), {}), as_json, as_markdown)


def data(  # noqa: PLR0913 - one argument for each option
    quick: Quick = False,
    as_json: Json = False,
    as_markdown: Markdown = False,
    image_size: Size = 224,
    batch_size: BatchSize = 16,
    threads: Threads = 2,
    seconds: Seconds = 45,
    device: Device = "cpu",
) -> None:
    """Reading and augmenting a batch, against the step of a small student."""
    from kdray.bench.data import data as measure  # imports torch

    setting, effort = _settings(quick, (image_size, batch_size, threads), device, seconds)
    _run("data", setting, lambda: measure(setting, effort), as_json, as_markdown)


def search(quick: Quick = False, as_json: Json = False, as_markdown: Markdown = False) -> None:
    """Whole searches on Ray: with records, with the teachers in the loop, on more workers."""
    from kdray.bench._plain import Setting  # imports torch
    from kdray.bench.search import QUICK, Size
    from kdray.bench.search import search as measure

    size = QUICK if quick else Size()
    setting = Setting(size.image_size, size.batch_size, 1, "cpu")
    _run("search", setting, lambda: measure(size, _tell), as_json, as_markdown)


def scale(  # noqa: PLR0913 - one argument for each option
    measured: Outputs,
    workers: Workers = 8,
    trials: Trials = 1000,
    speedup: Speedups = None,
    cpus: Cpus = 2.0,
    as_json: Json = False,
    as_markdown: Markdown = False,
) -> None:
    """Foretell a search on more and faster workers, from measurements on this machine.

    Take the output of `kdray bench search --json` and, for images of the same size, of `kdray
    bench data --json --image-size 64`.
    """
    from kdray.bench import _table, scaling

    inputs = scaling.Measured.of(_inputs(measured))
    wanted = [scaling.Wanted(workers, trials, factor, cpus) for factor in speedup or (1, 10, 50)]
    title = f"{trials:,} trials on {workers} workers"
    if as_json:
        forecasts = [asdict(scaling.forecast(inputs, one)) for one in wanted]
        both = [{**asdict(one), **told} for one, told in zip(wanted, forecasts, strict=True)]
        print_json({"measured": asdict(inputs), "forecasts": both})
    elif as_markdown:
        typer.echo(f"{title}:\n\n{_table.lines(scaling.COLUMNS, scaling.cells(inputs, wanted))}")
    else:
        print_table(title, scaling.COLUMNS, scaling.cells(inputs, wanted))


def _inputs(files: Sequence[Path]) -> dict[str, Any]:
    """Return what the outputs of benchmarks hold for the model of scaling, put together.

    Raises:
        JobError: One is no such output, or they are about images of different sizes.
    """
    found: dict[str, Any] = {}
    sizes: dict[int, Path] = {}
    for file in files:
        try:
            output = json.loads(file.read_text(encoding="utf-8"))
            inputs, size = output["inputs"], int(output["settings"]["image_size"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            remedy = "Give the output of `kdray bench search --json` and `data --json`."
            raise JobError(str(file), "is no output of a benchmark.", remedy) from error
        found |= inputs
        sizes[size] = file
    if len(sizes) > 1:
        told = " and ".join(f"{size} px in {file}" for size, file in sizes.items())
        remedy = "Measure both with one: `kdray bench data --image-size`."
        raise JobError("bench scale", f"the images differ in size: {told}.", remedy)
    return found


def _settings(
    quick: bool, sizes: tuple[int, int, int], device: str, seconds: float
) -> tuple[Setting, Effort]:
    """Return sizes and effort of a benchmark.

    Raises:
        JobError: There is no such device here.
    """
    import torch

    from kdray.bench._plain import Setting
    from kdray.bench._timing import Effort

    if device == "cuda" and not torch.cuda.is_available():
        raise JobError("--device cuda", "no GPU is here.", "Leave it out to measure on the CPU.")
    image_size, batch_size, threads = sizes
    if quick:
        return Setting(64, batch_size, threads, device, batches=2), Effort(1.0, least=3, most=5)
    return Setting(image_size, batch_size, threads, device), Effort(seconds)


def _tell(text: str) -> None:
    Console(stderr=True).print(f"measuring {text}", style="dim", highlight=False)


def _run(
    bench: str,
    setting: Setting,
    measure: Callable[[], tuple[Sequence[Row], dict[str, float]]],
    as_json: bool,
    as_markdown: bool,
) -> None:
    """Measure and print, with the facts that belong to it: the load is that of before."""
    from kdray.bench import _table
    from kdray.bench._machine import machine
    from kdray.bench._room import workers_environment

    facts = machine(setting.device, setting.threads, workers_environment())
    rows, inputs = measure()
    if as_json:
        found = {"bench": bench, "machine": facts, "settings": asdict(setting)}
        print_json({**found, "rows": _table.as_json(rows), "inputs": inputs})
        return
    told = {**facts, "image_size": setting.image_size, "batch_size": setting.batch_size}
    said = "; ".join(f"{name} {_flat(value)}" for name, value in told.items())
    if as_markdown:
        typer.echo(f"{said}.\n\n{_table.markdown(rows)}")
        return
    print_table(f"bench {bench}", _table.COLUMNS, _table.cells(rows))
    console.print(said, markup=False, highlight=False, soft_wrap=True)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
