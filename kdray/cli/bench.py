"""``kdray bench``: what kdray promises of its speed, measured on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from kdray.cli._benches import (
    BatchSize,
    Device,
    Markdown,
    Only,
    Quick,
    Seconds,
    Size,
    Threads,
    run,
    settings,
    tell,
)
from kdray.cli._output import Json, print_json, print_table
from kdray.cli.registry import RegistryUri
from kdray.errors import JobError

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

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A name of `kdray models` (random weights), NAME@VERSION or a package; repeatable.",
    ),
]
Images = Annotated[
    Path | None,
    typer.Option("--images", help="Folder of images; else drawn scans.", exists=True),
]
Count = Annotated[int, typer.Option("--count", min=1, help="Images.")]
Classes = Annotated[int, typer.Option("--classes", min=1, help="Classes at once.")]
Repeats = Annotated[int, typer.Option("--repeats", min=1, help="Rounds of Score-CAM.")]
Work = Annotated[
    Path | None, typer.Option("--work", help="Folder that keeps the networks trained here.")
]
Minutes = Annotated[float, typer.Option("--minutes", min=0.1, help="Training of each, at most.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    verb = typer.Typer(no_args_is_help=True)
    verb.command("step")(step)
    verb.command("record")(record)
    verb.command("data")(data)
    verb.command("search")(search)
    verb.command("explain")(explain)
    verb.command("serve")(serve)
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
    setting, effort = settings(quick, (image_size, batch_size, threads), device, seconds)
    rows = partial(measure, setting, effort, cases, tell)
    run("step", setting, lambda: (rows(), {}), (as_json, as_markdown))


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

    setting, effort = settings(quick, (image_size, 16, threads), device, seconds)
    rows = partial(measure, setting, effort, tell)
    run("record", setting, lambda: (rows(), {}), (as_json, as_markdown))


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

    setting, effort = settings(quick, (image_size, batch_size, threads), device, seconds)
    run("data", setting, lambda: measure(setting, effort), (as_json, as_markdown))


def search(quick: Quick = False, as_json: Json = False, as_markdown: Markdown = False) -> None:
    """Whole searches on Ray: with records, with the teachers in the loop, on more workers."""
    from kdray.bench._plain import Setting  # imports torch
    from kdray.bench.search import QUICK, Size
    from kdray.bench.search import search as measure

    size = QUICK if quick else Size()
    setting = Setting(size.image_size, size.batch_size, 1, "cpu")
    run("search", setting, lambda: measure(size, tell), (as_json, as_markdown))


def explain(  # noqa: PLR0913 - one argument for each option
    model: Models = None,
    images: Images = None,
    only: Only = None,
    quick: Quick = False,
    as_json: Json = False,
    as_markdown: Markdown = False,
    count: Count = 32,
    classes: Classes = 4,
    image_size: Size = 224,
    threads: Threads = 2,
    seconds: Seconds = 45,
    repeats: Repeats = 3,
    work: Work = None,
    minutes: Minutes = 15,
    registry: RegistryUri = "registry",
) -> None:
    """Explanations, against pytorch-grad-cam and the plain forward pass of the same network.

    Kinds: cam, score-cam, fast, memory, scores. Without --model, two networks are trained on
    drawn scans and VGG19 has random weights.
    """
    from kdray.bench._room import default_environment
    from kdray.bench.explain import KINDS, QUICK, Asked  # imports torch
    from kdray.bench.explain import explain as measure

    strange = sorted(set(only or ()).difference(KINDS))
    if strange:
        raise JobError(f"--only {strange[0]}", "names no row.", f"Kinds: {', '.join(KINDS)}.")
    setting, effort = settings(quick, (image_size, 1, threads), "cpu", seconds)
    asked = Asked(
        models=tuple(model or (QUICK if quick else ())),
        images=images,
        kinds=tuple(only or ()),
        count=2 if quick else count,
        classes=classes,
        repeats=1 if quick else repeats,
        work=work,
        minutes=minutes,
        registry=registry,
    )
    rows = partial(measure, asked, setting, effort, tell)
    plain = default_environment()
    run("explain", setting, lambda: (rows(), {}), (as_json, as_markdown), plain)


def serve(  # noqa: PLR0913 - one argument for each option
    only: Only = None,
    quick: Quick = False,
    as_json: Json = False,
    as_markdown: Markdown = False,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.2, help="Of each measurement.")
    ] = 3.0,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Of each server.")] = 7,
    chaos_minutes: Annotated[
        float,
        typer.Option("--chaos-minutes", min=0, help="Kill a replica a minute for so long."),
    ] = 0.0,
) -> None:
    """The service under load, against bare servers of the same model.

    Kinds: large, ray, edge, chaos. Servers take turns; those that wait are held still.
    """
    from kdray.bench._plain import Setting  # imports torch
    from kdray.bench._room import default_environment
    from kdray.bench.serve import KINDS, Asked
    from kdray.bench.serve import serve as measure

    strange = sorted(set(only or ()).difference(KINDS))
    if strange:
        raise JobError(f"--only {strange[0]}", "names no row.", f"Kinds: {', '.join(KINDS)}.")
    asked = Asked(tuple(only or ()), seconds, rounds, chaos_minutes)
    asked = asked.quick() if quick else asked
    setting = Setting(asked.image_size, 1, 1, "cpu")
    rows = partial(measure, asked, tell)
    run("serve", setting, lambda: (rows(), {}), (as_json, as_markdown), default_environment())


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
