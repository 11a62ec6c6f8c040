"""``kdray explain``: classify one image and show where the model looked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import typer

from kdray.cli._output import Json, console, print_json, print_table
from kdray.cli.registry import RegistryUri
from kdray.errors import DataError


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("explain")(explain)


def explain(  # noqa: PLR0913 - the options of a command
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="NAME, NAME@VERSION, or a package folder.")
    ],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image file.")],
    method: Annotated[str, typer.Option(help="See `kdray explainers`.")] = "gradcam",
    class_: Annotated[
        str | None, typer.Option("--class", help="Class to explain; else the predicted one.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the image with the heat map over it, PNG.")
    ] = None,
    registry: RegistryUri = "registry",
    json: Json = False,
) -> None:
    """Classify an image and show where the model looked for one class."""
    from kdray.infer import Predictor  # loads torch
    from kdray.registry import locate

    data = _read(image)
    folder, called = locate(model, registry)
    answer = {"model": called, **_answer(Predictor(folder), data, method, class_, out)}
    if json:
        print_json(answer)
    else:
        _show(answer)


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        raise DataError(str(image), f"cannot be read: {error.strerror}.") from None


def _answer(
    predictor: Any, data: bytes, method: str, class_: str | None, out: Path | None
) -> dict[str, Any]:
    import numpy as np

    from kdray.infer import overlay, pixels

    pictures = predictor.decode(data)[None]
    [shares] = predictor.predict(pictures)
    predicted = predictor.classes[int(shares.argmax())]
    target = predictor.index(class_ or predicted)
    map_ = predictor.explain(pictures, method, {}, np.array([target])).checked().maps[0, 0]
    if out is not None:
        _write_png(overlay(pixels(data), map_), out)
    row, column = np.unravel_index(map_.argmax(), map_.shape)
    return {
        "prediction": predicted,
        "probabilities": dict(zip(predictor.classes, map(float, shares), strict=True)),
        "method": method,
        "class": predictor.classes[target],
        "peak": {"x": (column + 0.5) / map_.shape[1], "y": (row + 0.5) / map_.shape[0]},
        "overlay": None if out is None else str(out),
    }


def _write_png(picture: Any, out: Path) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    try:
        out.write_bytes(buffer.getvalue())
    except OSError as error:
        raise DataError(str(out), f"cannot be written: {error.strerror}.") from None


def _show(answer: dict[str, Any]) -> None:
    ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
    rows = [(name, f"{share:.1%}", "#" * round(40 * share)) for name, share in ranked]
    print_table(f"{answer['model']}: {answer['prediction']}", ("class", "probability", ""), rows)
    peak = f"{answer['peak']['x']:.0%} from the left, {answer['peak']['y']:.0%} from the top"
    console.print(f"{answer['method']} for {answer['class']}: it looked most at {peak}.")
    if answer["overlay"]:
        console.print(f"The image with its heat map: {answer['overlay']}")
    else:
        console.print("Give --out FILE.png to see the heat map.")
    console.print("A heat map shows where the model looked, not where the disease is.")
