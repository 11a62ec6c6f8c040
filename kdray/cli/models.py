"""``kdray models``: what teachers and students can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdray import parts
from kdray.cli._output import Json, console, print_json, print_table
from kdray.cli._parts import facts, print_parts
from kdray.cli._zoo import giga, markdown, print_zoo, zoo
from kdray.errors import JobError
from kdray.spec.strict import Part, named
from kdray.spec.yaml import scalar

if TYPE_CHECKING:
    from kdray.net import Look, Net

NOTE = (
    "timm/ARCH stands for any architecture of timm, for example timm/resnet18; "
    "`kdray models --arch-like 'resnet*'` lists them. torchvision/ARCH is one of torchvision."
)
Name = Annotated[str, typer.Argument(help="A model, such as visformer_small or timm/resnet18.")]
ArchLike = Annotated[
    str | None,
    typer.Option("--arch-like", metavar="PATTERN", help="List timm's architectures like this."),
]
ImageSize = Annotated[int, typer.Option("--image-size", min=1, help="Side of the images, pixels.")]
Channels = Annotated[int, typer.Option("--channels", min=1, help="1 for grey, 3 for colour.")]
Classes = Annotated[int, typer.Option("--classes", min=1, help="Number of classes.")]
Listed = Annotated[int, typer.Option("--classes", min=1, help="Classes that counts are for.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print the papers' models so.")]
Settings = Annotated[
    list[str] | None, typer.Option("--param", help="A setting: name=value; may be repeated.")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    verb = typer.Typer(invoke_without_command=True)
    verb.callback()(list_models)
    verb.command("show")(show)
    app.add_typer(verb, name="models", help="List the models; show one with its taps.")


def list_models(
    context: typer.Context,
    arch_like: ArchLike = None,
    classes: Listed = 1000,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """List the models; show one with its taps."""
    if context.invoked_subcommand:
        return
    if arch_like is not None:
        _list_architectures(arch_like, as_json)
        return
    models = zoo(classes)
    if as_markdown:
        typer.echo(markdown(models))
        return
    found = [facts("models", name) for name in parts.names("models")]
    if as_json:
        print_json(_merged(models, found))
        return
    print_zoo(models, classes)
    print_parts("Parts that build them (`model:` with settings of your own)", found)
    console.print(NOTE, markup=False, highlight=False)
    console.print("`kdray models show NAME` tells more.", markup=False, highlight=False)


def show(
    name: Name,
    image_size: ImageSize = 224,
    channels: Channels = 3,
    classes: Classes = 2,
    params: Settings = None,
    as_json: Json = False,
) -> None:
    """Build a model without memory; show its size and where methods can look into it."""
    part = Part.model_validate(named(name))
    part = Part(name=part.name, params={**part.params, **_given(params or ())})
    settings = parts.settings("models", part)
    part = parts.canonical("models", part)
    shown = {
        "model": {"name": part.name, "params": settings},
        "image_size": image_size,
        "channels": channels,
        "classes": classes,
        **_built(part.name, settings, channels, classes, image_size),
    }
    if as_json:
        print_json(shown)
        return
    for model in zoo(classes):
        if model["name"] == name:
            text = f"{model['source']}. Image sizes: {model['image_sizes']}."
            console.print(text, markup=False, highlight=False)
    size = f"{shown['parameters']:,} parameters, {giga(shown['macs'])} MACs"
    console.print(f"{name}: {size}, {classes} classes.", highlight=False)
    if shown["heads"]:
        console.print(f"Heads: {', '.join(shown['heads'])}.", highlight=False)
    if shown["attention"]:
        sizes = ", ".join(f"{high} x {wide}" for high, wide in shown["attention"])
        console.print(f"Attention of the blocks: {sizes}.", highlight=False)
    rows = [
        (tap["name"], tap["path"], tap["layout"], " x ".join(map(str, tap["shape"])))
        for tap in shown["taps"]
    ]
    side = f"{channels} x {image_size} x {image_size}"
    print_table(f"Taps for {side} images", ("tap", "module", "layout", "D x h x w"), rows)


def _merged(models: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return parts and models by name: ``kind`` is ``part`` for those that need settings.

    A model that is a part's default is both at once, and counts as a model.
    """
    listed = {part["name"]: {"kind": "part", **part, "note": ""} for part in found}
    listed["timm"]["note"] = NOTE
    for model in models:
        listed[model["name"]] = {**listed.get(model["name"], {}), "kind": "model", **model}
    return list(listed.values())


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


def _built(
    name: str, settings: dict[str, Any], channels: int, classes: int, image_size: int
) -> dict[str, Any]:
    """Return the counts and the places of a model, built on the meta device: without memory."""
    import torch

    from kdray.measure.cost import macs
    from kdray.models import build_model
    from kdray.net import Wants, look

    with torch.device("meta"), torch.no_grad():
        net = build_model(
            name, settings, channels=channels, classes=classes, image_size=image_size
        )
        net.module.eval()
        images = torch.zeros(1, channels, image_size, image_size)
        wants = Wants(tuple(net.taps), attention=bool(net.attention))
        seen = look(net, images, wants)
        operations = macs(net.module, images)
    return {
        "parameters": sum(weight.numel() for weight in net.module.parameters()),
        "macs": operations,
        "heads": list(net.heads),
        "attention": [list(maps.shape[1:]) for maps in seen.attention],
        "taps": _taps(net, seen),
    }


def _taps(net: Net, seen: Look) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "path": tap.path,
            "layout": tap.layout,
            "shape": list(seen.maps[name].shape[1:]),
        }
        for name, tap in net.taps.items()
    ]
