"""``kdray models``: what teachers and students can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdray import parts
from kdray.cli._output import Json, console, print_json, print_table
from kdray.cli._parts import facts, print_parts
from kdray.errors import JobError
from kdray.spec.strict import Part, named
from kdray.spec.yaml import scalar

if TYPE_CHECKING:
    from kdray.net import Net

NOTE = (
    "timm/ARCH stands for any architecture of timm, for example timm/resnet18; "
    "`kdray models --arch-like 'resnet*'` lists them."
)
Name = Annotated[str, typer.Argument(help="A model, such as cnn5 or timm/resnet18.")]
ArchLike = Annotated[
    str | None,
    typer.Option("--arch-like", metavar="PATTERN", help="List timm's architectures like this."),
]
ImageSize = Annotated[int, typer.Option("--image-size", min=1, help="Side of the images, pixels.")]
Channels = Annotated[int, typer.Option("--channels", min=1, help="1 for grey, 3 for colour.")]
Classes = Annotated[int, typer.Option("--classes", min=1, help="Number of classes.")]
Settings = Annotated[
    list[str] | None, typer.Option("--param", help="A setting: name=value; may be repeated.")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    verb = typer.Typer(invoke_without_command=True)
    verb.callback()(list_models)
    verb.command("show")(show)
    app.add_typer(verb, name="models", help="List the models; show one with its taps.")


def list_models(context: typer.Context, arch_like: ArchLike = None, as_json: Json = False) -> None:
    """List the models; show one with its taps."""
    if context.invoked_subcommand:
        return
    if arch_like is not None:
        _list_architectures(arch_like, as_json)
        return
    found = [facts("models", name) for name in parts.names("models")]
    if as_json:
        print_json([{**part, "note": NOTE if part["name"] == "timm" else ""} for part in found])
        return
    print_parts("Models (`teachers:` and `students:` of a job)", found)
    console.print(NOTE, markup=False, highlight=False)


def show(
    name: Name,
    image_size: ImageSize = 224,
    channels: Channels = 3,
    classes: Classes = 2,
    params: Settings = None,
    as_json: Json = False,
) -> None:
    """Build a model with random weights; show its size and where methods can look into it."""
    part = Part.model_validate(named(name))
    settings = {**part.params, **_given(params or ())}
    part = Part(name=part.name, params=settings)
    settings = parts.settings("models", part)
    from kdray.models import build_model  # imports torch

    net = build_model(
        part.name, settings, channels=channels, classes=classes, image_size=image_size
    )
    taps = _taps(net, channels, image_size)
    weights = sum(weight.numel() for weight in net.module.parameters())
    facts = {
        "model": {"name": part.name, "params": settings},
        "image_size": image_size,
        "channels": channels,
        "classes": classes,
        "parameters": weights,
        "taps": taps,
    }
    if as_json:
        print_json(facts)
        return
    console.print(f"{name}: {weights:,} parameters, {classes} classes.", highlight=False)
    rows = [
        (tap["name"], tap["path"], tap["layout"], " x ".join(map(str, tap["shape"])))
        for tap in taps
    ]
    side = f"{channels} x {image_size} x {image_size}"
    print_table(f"Taps for {side} images", ("tap", "module", "layout", "D x h x w"), rows)


def _list_architectures(pattern: str, as_json: bool) -> None:
    from kdray.models.timm import architectures  # imports torch and timm

    found = architectures(pattern)
    if as_json:
        print_json(found)
    else:
        console.print("\n".join(found) or "none", markup=False, highlight=False)


def _given(settings: list[str] | tuple[()]) -> dict[str, Any]:
    given = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise JobError(f"--param {setting}", "is no setting.", "Write --param name=value.")
        given[name] = scalar(value)
    return given


def _taps(net: Net, channels: int, image_size: int) -> list[dict[str, Any]]:
    import torch

    from kdray.net import Wants, look

    net.module.eval()
    with torch.no_grad():
        seen = look(net, torch.zeros(1, channels, image_size, image_size), Wants(tuple(net.taps)))
    return [
        {
            "name": name,
            "path": tap.path,
            "layout": tap.layout,
            "shape": list(seen.maps[name].shape[1:]),
        }
        for name, tap in net.taps.items()
    ]
