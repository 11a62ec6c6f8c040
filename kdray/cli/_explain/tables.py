"""Explanations as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kdray.cli._output import console, print_table

Facts = Mapping[str, Any]
#: Scores of a map that the table shows; the files hold all of them.
_SHOWN = ("deletion_auc", "insertion_auc", "average_drop")


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
    from kdray.measure import DEFINITIONS

    scores = _SHOWN if any(found["scores"] for _, found in rows) else ()
    compared = ("Pearson with the teacher (chance)",) if answer["against"] else ()
    columns = (
        *(("image", "prediction") if num_images > 1 else ()),
        *("method", "class", "looked most at"),
        *(f"{DEFINITIONS[name].title} ({DEFINITIONS[name].better})" for name in scores),
        *compared,
    )
    cells = []
    for image, found in rows:
        share = image["probabilities"][image["prediction"]]
        who = (image["image"], f"{image['prediction']} {share:.1%}") if num_images > 1 else ()
        values = [_number((found["scores"] or {}).get(name)) for name in scores]
        alike = [_alike(found["agreement"])] if compared else []
        cells.append((*who, _method(found), found["class"], _peak(found), *values, *alike))
    print_table("", columns, cells)


def _method(found: Facts) -> str:
    estimate = found["estimate"]
    about = "" if estimate is None else f" (correlates about {estimate:.2f} with the exact map)"
    return f"{found['method']}{about}"


def _peak(found: Facts) -> str:
    if found["degenerate"]:
        return f"no map: {found['reason']}"
    return f"{found['peak']['x']:.0%} from the left, {found['peak']['y']:.0%} from the top"


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
