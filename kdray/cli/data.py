"""``kdray data``: the sources, and what a job's images are before anything is trained."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kdray import parts
from kdray.cli._data_sets import Chosen, data_sets
from kdray.cli._data_tables import print_checked, print_counts, print_verified
from kdray.cli._output import Json, Sets, SpecFile, console, print_json
from kdray.cli._parts import print_part
from kdray.cli._sources import (
    fetch as fetch_source,
)
from kdray.cli._sources import (
    print_known,
    print_sources,
    source_facts,
)
from kdray.cli._sources import (
    verify as verify_source,
)
from kdray.errors import JobError
from kdray.spec.experiment import BadImages, Data, Experiment
from kdray.spec.strict import Part

if TYPE_CHECKING:
    from kdray.data import Dataset

Source = Annotated[str | None, typer.Argument(help="Show all about this source.")]
Target = Annotated[str, typer.Argument(help="A job file, or a source with --path.")]
SourcePath = Annotated[
    str | None, typer.Option("--path", help="Verify the source TARGET of this folder.")
]
FetchName = Annotated[str, typer.Argument(help="The source: see `kdray data list`.")]
To = Annotated[Path, typer.Option("--to", help="The folder to download to.", file_okay=False)]
Shown = Annotated[int, typer.Option("--images", min=1, help="Images in each row.")]
Split = Annotated[str, typer.Option("--split", help="Show images of this split.")]
Augmented = Annotated[
    bool, typer.Option("--augmented", help="Show one image of each class and its views.")
]
Out = Annotated[Path, typer.Option("--out", help="PNG file to write.", dir_okay=False)]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    verb = typer.Typer(no_args_is_help=True)
    verb.command("list")(list_sources)
    verb.command("prepare")(prepare)
    verb.command("check")(check)
    verb.command("verify")(verify)
    verb.command("show")(show)
    verb.command("fetch")(fetch)
    app.add_typer(
        verb,
        name="data",
        help="List or fetch data sets; verify, check, show or prepare a job's images.",
    )


def list_sources(name: Source = None, as_json: Json = False) -> None:
    """List the data sources: what they are, their images, settings, and where to get them."""
    found = [source_facts(one) for one in ([name] if name else parts.names("data"))]
    if as_json:
        print_json(found)
    elif name:
        print_part(found[0])
        print_known(found[0])
    else:
        print_sources(found)


def verify(
    target: Target,
    path: SourcePath = None,
    experiment: Chosen = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Count images of a job or source by split and class, against what it should have.

    Nothing is decoded: see `check` for that. Exits with 1 where the counts differ.
    """
    answers = []
    for item in data_sets(target, sets, experiment) if path is None else [None]:
        source = item.job.data.source if item else Part(name=target, params={"path": path})
        found = verify_source(source)
        answers.append({**(item.said() if item else {}), **found})
        if not as_json:
            if item:
                item.print_heading()
            print_verified(found)
    if as_json:
        _print_answers(answers)
    if any(found["deviations"] for found in answers):
        raise typer.Exit(1)


def fetch(name: FetchName, to: To) -> None:
    """Download a public data set (extra `download`, for ABIDE extra `abide`)."""
    console.print(f"Fetched: {fetch_source(name, to)}", markup=False, highlight=False)


def prepare(
    spec: SpecFile, experiment: Chosen = None, sets: Sets = None, as_json: Json = False
) -> None:
    """Prepare a job's images in its storage, as its first step would; done once only."""
    found = data_sets(spec, sets, experiment)
    from kdray.run.job import plan_job  # imports torch and Ray
    from kdray.run.prepare import run_prepare
    from kdray.store import Store

    answers = []
    for item in found:
        plan, store = plan_job(item.job), Store(item.job.storage.uri)
        with _progress() as tell:
            content = run_prepare(plan, store, _events(tell))
        place = {"path": plan.prepare.path, "storage": store.uri}
        answers.append({**item.said(), **place, **content})
        if not as_json:
            item.print_heading()
            print_counts(content)
            console.print(f"Prepared: {plan.prepare.path} in {store.uri}", highlight=False)
    if as_json:
        _print_answers(answers)


def check(
    spec: SpecFile, experiment: Chosen = None, sets: Sets = None, as_json: Json = False
) -> None:
    """Read all images of a job and report counts, unreadable ones, duplicates and leaks.

    Exits with 1 where the job's prepare step would fail for what is reported.
    """
    answers = []
    for item in data_sets(spec, sets, experiment):
        with _prepared(_lenient(item.job.data)) as (_, content):
            problems = _problems(item.job.data, content)
        answers.append({**item.said(), **content, "problems": problems})
        if not as_json:
            item.print_heading()
            print_checked(content, problems)
    if as_json:
        _print_answers(answers)
    if any(found["problems"] for found in answers):
        raise typer.Exit(1)


def show(  # noqa: PLR0913 - one argument for each option
    spec: SpecFile,
    out: Out = Path("images.png"),
    shown: Shown = 6,
    split: Split = "train",
    augmented: Augmented = False,
    experiment: Chosen = None,
    sets: Sets = None,
) -> None:
    """Write a contact sheet of a job's images, a row a class; of a suite, one a data set."""
    found = data_sets(spec, sets, experiment)
    if not out.parent.is_dir():
        raise JobError(str(out), "its folder is not there.", "Make it first.")
    for item in found:
        name = f"{out.stem}-{item.experiments[0]}{out.suffix}" if len(found) > 1 else out.name
        _show(item.job, out.with_name(name), shown, split, augmented)
        item.print_heading()
        console.print(f"Wrote {out.with_name(name)}", highlight=False)


def _show(job: Experiment, out: Path, shown: int, split: str, augmented: bool) -> None:
    from kdray.data._dataset import Dataset
    from kdray.data._sheet import contact_sheet

    with _prepared(_lenient(job.data)) as (folder, _):
        dataset = Dataset.open(folder)
        rows = []
        for label, name in enumerate(dataset.info.classes):
            places = [place for place in dataset.split(split) if dataset.labels[place] == label]
            if places:
                few = places[:: max(1, len(places) // shown)][:shown]
                images = _views(job, dataset, few[0], shown) if augmented else dataset.images(few)
                rows.append((f"{name} ({len(places)} in {split})", images))
        contact_sheet(rows).save(out, format="PNG")


def _print_answers(answers: list[dict[str, Any]]) -> None:
    """Print JSON: the answer for a job, a list of answers for a suite."""
    print_json(answers if "experiments" in answers[0] else answers[0])


def _lenient(data: Data) -> Data:
    """Return the settings with which everything is reported and nothing fails."""
    duplicates = data.duplicates.model_copy(update={"on_leak": "mark"})
    bad_images = BadImages(skip_up_to=2**31)
    return data.model_copy(update={"duplicates": duplicates, "bad_images": bad_images})


@contextmanager
def _prepared(data: Data) -> Iterator[tuple[Path, dict[str, Any]]]:
    from kdray.data._prepare import prepare as prepare_into

    with tempfile.TemporaryDirectory(prefix="kdray-") as folder, _progress() as tell:
        yield Path(folder), prepare_into(data, Path(folder), tell)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    stream = Console(stderr=True)
    columns = (TextColumn("reading images"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stream, transient=True, disable=not stream.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _events(tell: Callable[[int, int], None]) -> Callable[[dict[str, Any]], None]:
    return lambda event: tell(event["done"], event["total"])


def _problems(data: Data, content: Mapping[str, Any]) -> list[str]:
    found = []
    if len(content["bad"]) > data.bad_images.skip_up_to:
        found.append(
            f"data.bad_images: {len(content['bad'])} images cannot be read, "
            f"{data.bad_images.skip_up_to} may."
        )
    leaks = [leak for leak in content["duplicates"]["leaks"] if leak["from"] in ("train", "val")]
    if data.duplicates.on_leak == "fail" and any(leak["any"] for leak in leaks):
        found.append("data.duplicates: images leak from train or validation, and on_leak is fail.")
    return found


def _views(job: Experiment, dataset: Dataset, place: int, count: int) -> Any:
    """Return an image and ``count - 1`` views of it as they are trained on, uint8."""
    import numpy as np

    from kdray.data import Views  # imports torch

    info = dataset.info
    views = Views(job.data.augment, job.train.seed, info.mean, info.std)
    image = dataset.images([place])
    seen = [views.train(image, epoch, [place]) for epoch in range(count - 1)]
    grey = [view.numpy().transpose(0, 2, 3, 1) * info.std + info.mean for view in seen]
    return np.concatenate(
        [image, *(np.clip(np.rint(g * 255), 0, 255).astype(np.uint8) for g in grey)]
    )
