"""Explanations as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kdray.cli._output import console, print_table

Facts = Mapping[str, Any]
#: Scores of a map that the table shows; the files hold all of them.
_SHOWN = {"deletion_auc": "deletion", "insertion_auc": "insertion"}


def show(answer: Facts) -> None:
    """Print what was found: the probabilities of a single image, and a row a map."""
    images = answer["images"]
    if len(images) == 1:
        _show_probabilities(answer["model"]["called"], images[0])
    rows = [(image, found) for image in images for found in image["maps"]]
    if rows:
        _show_maps(answer, rows, len(images))
    if answer["against"] is not None and answer["against"]["note"]:
        console.print(answer["against"]["note"], highlight=False, markup=False)
    if answer["out"] is not None:
        console.print(f"Pictures, maps and scores: {answer['out']}", highlight=False, markup=False)
    elif rows:
        console.print("Give --out DIR to have the heat maps as pictures and numbers.")
    console.print("A heat map shows where the model looked, not where the disease is.")


def _show_probabilities(called: str, image: Facts) -> None:
    ranked = sorted(image["probabilities"].items(), key=lambda item: -item[1])
    rows = [(name, f"{share:.1%}", "#" * round(40 * share)) for name, share in ranked]
    print_table(f"{called}: {image['prediction']}", ("class", "probability", ""), rows)


def _show_maps(answer: Facts, rows: Sequence[tuple[Facts, Facts]], num_images: int) -> None:
    scores = _SHOWN if any(found["scores"] for _, found in rows) else {}
    several, compared = num_images > 1, answer["against"] is not None
    columns = (
        *(("image",) if several else ()),
        *("method", "class", "probability", "peak"),
        *scores.values(),
        *(("Pearson (chance)",) if compared else ()),
    )
    cells = [
        (
            *((image["name"],) if several else ()),
            found["method"] + ("" if found["estimate"] is None else f" ~{found['estimate']:.2f}"),
            f"{found['class']}{' *' if found['class'] == image['prediction'] else ''}",
            f"{image['probabilities'][found['class']]:.1%}",
            _peak(found),
            *(_number((found["scores"] or {}).get(name)) for name in scores),
            *((_alike(found["agreement"]),) if compared else ()),
        )
        for image, found in rows
    ]
    print_table("", columns, cells)
    _show_legend([found for _, found in rows])


def _show_legend(maps: Sequence[Facts]) -> None:
    lines = ["* the predicted class; peak: where the map is highest, from the left and the top."]
    if any(found["estimate"] is not None for found in maps):
        lines.append("~ the estimated correlation with the exact map.")
    if any(found["scores"] for found in maps):
        lines.append("Deletion AUC: lower is better; insertion AUC: higher is better.")
    blank = Counter((found["method"], found["reason"]) for found in maps if found["degenerate"])
    lines += [f"No map by {name}, {n} of them: {why}" for (name, why), n in blank.items()]
    for line in lines:
        console.print(line, highlight=False, markup=False)


def _peak(found: Facts) -> str:
    if found["degenerate"]:
        return "no map"
    return f"{found['peak']['x']:.0%}, {found['peak']['y']:.0%}"


def _alike(agreement: Facts) -> str:
    if "pearson" not in agreement:
        return "-"
    return f"{_number(agreement['pearson'])} ({_number(agreement['chance_pearson'])})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def problems(errors: Sequence[Facts]) -> Iterator[str]:
    """Yield what could not be done, a line each."""
    for error in errors:
        yield f"{error.get('image') or error.get('method')}: {error['error']}"
