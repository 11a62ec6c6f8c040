"""``kdray render``: what would be applied to Kubernetes, for GitOps and for reading."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from kdray.cli._output import Json, Sets, SpecFile, console, print_json
from kdray.errors import JobError
from kdray.spec.target import Kubernetes

#: The list of the files, by which `kubectl apply -k` and other tools know them.
_LIST = "kustomization.yaml"
#: First line of what is written, and of nothing that a user wrote.
_MARK = "# Made by `kdray render`: changes here are lost."


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def render(
        spec: SpecFile,
        to: Annotated[
            str | None,
            typer.Option(
                "--to",
                metavar="TARGET",
                help="Target of Kubernetes, a file or a name; by default KDRAY_TARGET, or "
                "kubernetes.",
            ),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(
                "--out", metavar="FOLDER", help="Write a file for each object, for kustomize."
            ),
        ] = None,
        sets: Sets = None,
        as_json: Json = False,
    ) -> None:
        """Show the objects that `kdray submit --to` would apply to Kubernetes; ask no cluster.

        YAML in the order in which they are applied, so that `kubectl apply -f -` takes it; with
        `--json` a List. No secret is in it.
        """
        objects = _rendered(spec, sets, to)
        if out is not None:
            files = _written(out, objects)
            if as_json:
                print_json({"folder": str(out), "files": files})
            else:
                console.print(f"{len(files)} objects in {out}.", highlight=False)
        elif as_json:
            print_json({"apiVersion": "v1", "kind": "List", "items": objects})
        else:
            from kdray.launch.kube.text import as_yaml

            typer.echo(as_yaml(objects), nl=False)


def _rendered(spec: str, sets: Sequence[str] | None, to: str | None) -> list[dict[str, Any]]:
    from kdray.launch.kube.render import manifests
    from kdray.launch.order import make_order
    from kdray.launch.targets import DEFAULT, find_target
    from kdray.spec import parse_job

    target = find_target(to or os.environ.get(DEFAULT) or "kubernetes")
    if not isinstance(target.place, Kubernetes):
        problem = f"{target.name} is of the kind {target.place.kind}: there is nothing to apply."
        raise JobError("--to", problem, "Give a target of the kind kubernetes.")
    order = make_order(spec, sets, target)
    return manifests(order, parse_job(order.spec, spec, env={}), target)


def _written(folder: Path, objects: Sequence[dict[str, Any]]) -> list[str]:
    """Write a file for each object and their list; return the files' names.

    What an earlier call has written and is no longer rendered is deleted, since `kubectl apply -f
    FOLDER` would apply it still.
    """
    from kdray.launch.kube.text import as_yaml

    texts = {
        f"{number:02d}-{item['kind'].lower()}-{item['metadata']['name']}.yaml": as_yaml([item])
        for number, item in enumerate(objects, 1)
    }
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    files = {**texts, _LIST: as_yaml([{**head, "resources": [*texts]}])}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_ours(folder, files)
        for name, text in files.items():
            (folder / name).write_text(f"{_MARK}\n{text}", encoding="utf-8")
        for file in folder.glob("[0-9][0-9]-*.yaml"):
            if file.name not in files and _is_ours(file):
                file.unlink()
    except OSError as error:
        raise JobError(str(folder), f"cannot be written: {error.strerror}.") from error
    return [*texts]


def _check_ours(folder: Path, files: Iterable[str]) -> None:
    for name in files:
        if (folder / name).exists() and not _is_ours(folder / name):
            problem = "is there already, and not by `kdray render`."
            raise JobError(str(folder / name), problem, "Give another folder.")


def _is_ours(file: Path) -> bool:
    with open(file, encoding="utf-8", errors="replace") as text:
        return text.readline().rstrip("\n") == _MARK
