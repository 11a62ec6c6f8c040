"""What the benchmarks' commands share: options, settings, and how results are printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from kdray.cli._output import console, print_json, print_table
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


def settings(
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


def tell(text: str) -> None:
    """Say what is measured now."""
    Console(stderr=True).print(f"measuring {text}", style="dim", highlight=False)


def run(
    bench: str,
    setting: Setting,
    measure: Callable[[], tuple[Sequence[Row], dict[str, float]]],
    formats: tuple[bool, bool],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Measure and print, with the facts that belong to it: the load is that of before.

    Args:
        bench: Name of the benchmark.
        setting: Its sizes.
        measure: Returns its rows, and what other benchmarks take of it.
        formats: Whether to print JSON, and whether Markdown.
        environment: Of the processes that are measured; None: that of kdray's workers.
    """
    from kdray.bench import _table
    from kdray.bench._machine import machine
    from kdray.bench._room import workers_environment

    as_json, as_markdown = formats
    facts = machine(setting.device, setting.threads, environment or workers_environment())
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
