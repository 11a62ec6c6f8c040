"""``kdray explain``: classify images and show where the model looked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kdray.cli._explain.images import sources_of
from kdray.cli._explain.wanted import PREDICTED, Method, Wanted, classes_of, methods_of, window_of
from kdray.cli._output import Json, err, print_json
from kdray.cli.registry import RegistryUri
from kdray.errors import DataError, JobError

if TYPE_CHECKING:
    from kdray.cli._explain.batches import Named  # loads torch
    from kdray.cli._explain.work import Work

TEACHER = "teacher"
_PICTURES = (".png", ".jpg", ".jpeg")

ModelOption = Annotated[
    str, typer.Option("--model", metavar="MODEL", help="NAME, NAME@VERSION, or a package folder.")
]
Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGE...", help="Image files, DICOM included, or folders.")
]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help="See `kdray explainers`; may be repeated. Default: gradcam."),
]
Classes = Annotated[
    list[str] | None,
    typer.Option("--class", help="Class to explain, `all`, or `predicted` (default); repeatable."),
]
Against = Annotated[
    str | None,
    typer.Option(help="Compare with the model's `teacher`, or another NAME or package folder."),
]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Write pictures, maps and scores there.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--param", help="A method's setting: name=value or method.name=value."),
]
Scores = Annotated[
    bool, typer.Option("--scores/--no-scores", help="Score each map: about 42 forward passes.")
]
Window = Annotated[
    str | None,
    typer.Option(metavar="CENTRE,WIDTH", help="DICOM: the values shown; else as trained."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("explain")(explain)


def explain(  # noqa: PLR0913 - the options of a command
    images: Images,
    model: ModelOption,
    method: Methods = None,
    class_: Classes = None,
    param: Settings = None,
    against: Against = None,
    out: Out = None,
    scores: Scores = True,
    window: Window = None,
    registry: RegistryUri = "registry",
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Classify images and show where the model looked, with scores of the explanation."""
    methods = methods_of(method or ["gradcam"], param or ())
    shown = window_of(window)
    _check_folder(out)
    sources, missing = sources_of(images)
    if not sources:
        raise DataError("", "\n".join(f"{path}: {problem}" for path, problem in missing))
    models, note = _models(model, against, registry, device)
    classes = classes_of(class_ or [PREDICTED], models[0].predictor.classes)
    _make_folder(out)
    work = _work(models, Wanted(methods, classes, scores, shown), out)
    work.errors += [{"image": str(path), "error": problem} for path, problem in missing]
    with _told_if_stopped(work, out), _progress(len(sources) * len(methods)) as tell:
        work.explain(sources, tell)
    work.compare()
    answer = _answer(work, models, note, methods, out)
    _tell(answer, out, json)


def _check_folder(out: Path | None) -> None:
    if out is not None and not out.is_dir() and (out.exists() or out.suffix in _PICTURES):
        raise JobError(
            f"--out {out}", "is a file.", "Name a folder: each image has several files."
        )


def _make_folder(out: Path | None) -> None:
    """Make the folder before the work, which may take hours and would be lost."""
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        writable = os.access(out, os.W_OK)
    except OSError as error:
        raise JobError(f"--out {out}", f"cannot be made: {error.strerror}.") from error
    if not writable:
        raise JobError(f"--out {out}", "cannot be written: Permission denied.")


def _models(
    model: str, against: str | None, registry: str, device: str
) -> tuple[list[Named], str]:
    """Return the model, the one to compare it with, and what to say of that one."""
    from kdray.cli._explain.batches import Named
    from kdray.infer import Predictor
    from kdray.registry import locate, teacher_of

    folder, called = locate(model, registry)
    ours = Named(called, Predictor(folder, device))
    if against is None:
        return [ours], ""
    note = ""
    if against == TEACHER:
        found = teacher_of(ours.predictor.package, registry)
        folder, called, note = found.folder, found.called, found.note
    else:
        folder, called = locate(against, registry)
    theirs = Named(called, Predictor(folder, device))
    if set(ours.predictor.classes) != set(theirs.predictor.classes):
        problem = f"knows other classes than {ours.called}: {', '.join(theirs.predictor.classes)}."
        raise JobError(f"--against {against}", problem)
    return [ours, theirs], note


def _work(models: list[Named], wanted: Wanted, out: Path | None) -> Work:
    from kdray.cli._explain.files import Files
    from kdray.cli._explain.work import Work

    titles = tuple(named.called for named in models)
    return Work(models, wanted, None if out is None else Files(out, titles))


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    stream = Console(stderr=True)
    text = TextColumn("explaining images")
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stream, transient=True, disable=not stream.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.advance(task, done)


@contextmanager
def _told_if_stopped(work: Work, out: Path | None) -> Iterator[None]:
    """Say what is done where Ctrl-C stops the work: each image that is lies there whole."""
    try:
        yield
    except KeyboardInterrupt:
        kept = "" if out is None else f", in {out}"
        err(f"Stopped. Images that are done: {len(work.records)}{kept}.")
        raise


def _answer(
    work: Work, models: list[Named], note: str, methods: tuple[Method, ...], out: Path | None
) -> dict[str, Any]:
    from kdray.measure import DEFINITIONS
    from kdray.registry.card import NOTICE

    maps = [found for record in work.records for found in record["maps"]]
    used = {name for found in maps for name in found["scores"] or ()}
    used |= {name for found in maps for name in found.get("agreement", ())}
    theirs = None if len(models) == 1 else {**_named(models[1]), "note": note}
    return {
        "model": _named(models[0]),
        "against": theirs,
        "methods": [method.facts() for method in methods],
        "images": work.records,
        "errors": work.errors,
        "out": None if out is None else str(out),
        "definitions": {
            name: {"title": item.title, "text": item.text, "better": item.better or None}
            for name, item in DEFINITIONS.items()
            if name in used
        },
        "notice": NOTICE,
    }


def _named(named: Named) -> dict[str, Any]:
    package = named.predictor.package
    return {
        "called": named.called,
        "id": package.id,
        "role": package.role,
        "weights_sha256": package.weights.sha256,
        "classes": list(package.classes),
    }


def _tell(answer: dict[str, Any], out: Path | None, as_json: bool) -> None:
    from kdray.cli._explain.files import Files
    from kdray.cli._explain.tables import problems, show

    if out is not None and answer["images"]:
        Files(out).write_all(answer)
    if as_json:
        print_json(answer)
    elif answer["images"]:
        show(answer)
    for problem in problems(answer["errors"]):
        err(problem)
    if answer["errors"]:
        raise typer.Exit(1)
