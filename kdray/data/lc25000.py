"""LC25000: lung and colon histology, 5 classes of 5,000 tiles, 768x768 (XKD, "LCS25000").

Layout: ``lung_colon_image_set/{colon_image_sets/{colon_aca,colon_n},lung_image_sets/{lung_aca,
lung_n,lung_scc}}/*.jpeg``. No split is given. The 5,000 tiles of a class are 20 augmented copies
each of 250 originals, so that a random split leaks nearly always: give the clusters of
LC25000-clean as groups. The search for duplicates is no substitute: it finds equal, nearly equal
and, with ``flips``, mirrored or turned tiles, but not most of the augmented copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from kdray.data import folder
from kdray.data._files import FileRow, file_fingerprint
from kdray.data._known import locate
from kdray.data._rows import Row
from kdray.data._tables import read_columns
from kdray.errors import DataError
from kdray.spec.strict import Strict

CLASSES = ("colon_aca", "colon_n", "lung_aca", "lung_n", "lung_scc")
COUNTS = {
    "all": {
        "colon_aca": 5000,
        "colon_n": 5000,
        "lung_aca": 5000,
        "lung_n": 5000,
        "lung_scc": 5000,
    }
}
GET = (
    "Its torrent is linked from github.com/tampapath/lung_colon_image_set (LC25000.zip, 1.85 GB); "
    "also on Hugging Face: 1aurent/LC25000."
)
LICENCE = "not stated where kdray looked; see its page"
NOTES = (
    "Only 250 originals a class, 20 augmented copies each: without `clusters` (LC25000-clean) a "
    "random split leaks nearly always.",
    "The search for near duplicates does not find most of the copies; data.duplicates.flips: true "
    "finds a few more.",
    "777 files of the lung part are byte for byte copies of others.",
    "XKD's '12,500 benign and 12,500 malignant' cannot be: 2 classes are benign (10,000).",
)
BENIGN = ("colon_n", "lung_n")
#: Settings that say where the images lie, not which they are: the fingerprint stands for them.
PLACE = ("path", "clusters")


class Params(Strict):
    """Which classes, and which groups."""

    path: str = Field(min_length=1)
    """The folder `lung_colon_image_set`, or one above it."""
    organ: Literal["both", "lung", "colon"] = "both"
    """Which organ's classes."""
    binary: bool = False
    """Benign against malignant, instead of the classes."""
    clusters: str | None = None
    """A CSV `final_clusters.csv` of LC25000-clean (columns cluster_label, img_path), or the
    folder `annotations` with one for each class: which tiles have one original; null or empty:
    none."""


def rows(params: Params) -> Iterator[Row]:
    """Yield the tiles, class after class.

    Raises:
        DataError: The folder does not hold the data set, or the clusters name none of its tiles.
    """
    for file in _files(params):
        yield file.row()


def fingerprint(params: Params) -> str:
    """Return a hash of names, groups, sizes and the first 64 KiB of every file."""
    return file_fingerprint(_files(params))


def expected(params: Params) -> Mapping[str, Mapping[str, int]]:
    """Return the counts of the chosen classes."""
    counts: dict[str, int] = {}
    for name in _classes(params):
        label = _label(name, params)
        counts[label] = counts.get(label, 0) + COUNTS["all"][name]
    return {"all": counts}


def _files(params: Params) -> list[FileRow]:
    sets = sorted({f"{name.split('_')[0]}_image_sets" for name in _classes(params)})
    root = locate(params.path, lambda one: (one / sets[0]).is_dir(), f"{sets[0]}/", GET)
    found: list[FileRow] = []
    for name in sets:
        inner = folder.Params(path=str(root / name), classes=_classes(params))
        found += [replace(file, id=f"{name}/{file.id}") for file in folder.files(inner)]
    groups = _groups(Path(params.clusters).expanduser()) if params.clusters else {}
    if groups and not any(file.path.name in groups for file in found):
        raise DataError(str(params.clusters), "names none of the tiles.")
    return [
        replace(
            file,
            label=_label(file.label, params),
            group=f"{file.label}-{group}" if (group := groups.get(file.path.name)) else None,
        )
        for file in found
    ]


def _classes(params: Params) -> tuple[str, ...]:
    return tuple(name for name in CLASSES if params.organ in ("both", name.split("_")[0]))


def _label(name: str, params: Params) -> str:
    if not params.binary:
        return name
    return "benign" if name in BENIGN else "malignant"


def _groups(path: Path) -> dict[str, str]:
    """Return file name -> cluster; the names are unique over all classes."""
    files = sorted(path.rglob("final_clusters.csv")) if path.is_dir() else [path]
    if not files:
        raise DataError(str(path), "holds no final_clusters.csv.")
    groups: dict[str, str] = {}
    for file in files:
        columns = read_columns(file, ["cluster_label", "img_path"])
        cells = zip(columns["img_path"], columns["cluster_label"], strict=True)
        groups |= {Path(tile).name: cluster for tile, cluster in cells if tile and cluster}
    return groups
