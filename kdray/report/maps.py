"""Tables of a job's explanations: teacher against student, and maps against lesions."""

from __future__ import annotations

from kdray.report import cells
from kdray.report.cells import Column, Table
from kdray.report.facts import Results

RETENTION = "Mean of min(1, f(E x) / f(x)), f the probability of the class: 1 - average drop"


def agreement_table(results: Results) -> Table:
    """Return one row an explanation method: how alike teacher's and student's maps are."""
    columns = (
        Column("method", "Method"),
        Column("pearson", "Correlation", "Of the pixels of the two maps of an image, mean", True),
        Column(
            "chance_pearson", "By chance", "The same for maps of different images: the floor", True
        ),
        Column("iou20", "Overlap", "Intersection over union of the hottest fifths, mean", True),
        Column("images", "Images", "Images with a map of both", True),
    )
    found = (results.get("explanations") or {}).get("agreement") or {}
    rows = tuple(
        (
            cells.word(method),
            *(cells.fixed(alike.get(key)) for key in ("pearson", "chance_pearson", "iou20")),
            cells.count(alike.get("images")),
        )
        for method, alike in found.items()
    )
    note = (
        "A correlation says something only as far as it lies above the one by chance. Of so few "
        "images it is an impression, no estimate."
    )
    return Table("agreement", "Maps of teacher and student", columns, rows, (note,))


def pointing_table(results: Results) -> Table:
    """Return one row a method and model: how the maps point into known lesions."""
    columns = (
        Column("method", "Method"),
        Column("model", "Model"),
        Column("hits", "Hits", "Images whose hottest pixel lies in the lesion", True),
        Column("misses", "Misses", "Images whose hottest pixel lies outside", True),
        Column("energy_inside", "Energy inside", "Share of the map inside the lesion, mean", True),
    )
    rows = tuple(
        (
            cells.word(found["method"]),
            cells.word(found["model"]),
            cells.count(found.get("hits")),
            cells.count(found.get("misses")),
            cells.fixed(found.get("energy_inside")),
        )
        for found in (results.get("explanations") or {}).get("pointing") or ()
    )
    note = "Only images with a known lesion count; there is no tolerance around it."
    return Table("pointing", "Maps and lesions", columns, rows, (note,))


def measures_table(results: Results) -> Table:
    """Return one row a method and model: time of an explanation, and how faithful the maps are."""
    columns = (
        Column("method", "Method"),
        Column("model", "Model"),
        Column("met_ms", "MET", "Mean explanation time of one image, ms, CPU", True, True),
        Column("retention", "Retention", RETENTION, True, True),
        Column("label_agreement", "Label kept", "Share of images predicted the same", True, True),
    )
    rows = tuple(
        (
            cells.word(found["method"]),
            cells.word(found["model"]),
            cells.measured((found.get("met_ms") or {}).get("mean"), "ms"),
            *(cells.interval(found.get(key)) for key in ("retention", "label_agreement")),
        )
        for found in (results.get("explanations") or {}).get("measures") or ()
    )
    note = (
        "Retention and label kept: the image times its map, against the image. They are two "
        "readings of what papers call fidelity; intervals over images."
    )
    return Table("measures", "Explanations: time and faithfulness", columns, rows, (note,))
