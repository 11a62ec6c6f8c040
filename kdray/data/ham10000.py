"""HAM10000: dermatoscopy of 7 kinds of skin lesions, grouped by lesion (HDKD).

Layout: ``HAM10000_metadata.csv`` (lesion_id, image_id, dx, ...) beside folders of
``{image_id}.jpg``: ``HAM10000_images_part_1`` and ``_part_2``, or any others. 600x450. No split is
given; ``split: datta`` makes the one that HDKD names (9,187 to train, 828 to test) by its recipe.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from kdray.data._files import FileRow, file_fingerprint
from kdray.data._known import holder, locate
from kdray.data._rows import Row
from kdray.data._tables import read_columns
from kdray.errors import DataError
from kdray.images import SUFFIXES
from kdray.spec.strict import Strict

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
COUNTS = {
    "all": {
        "akiec": 327,
        "bcc": 514,
        "bkl": 1099,
        "df": 115,
        "mel": 1113,
        "nv": 6705,
        "vasc": 142,
    },
    "test": {"akiec": 23, "bcc": 26, "bkl": 66, "df": 6, "mel": 34, "nv": 663, "vasc": 10},
}
KAGGLE = "kmader/skin-cancer-mnist-ham10000"
GET = (
    "It is on Kaggle: kmader/skin-cancer-mnist-ham10000, and on Dataverse: doi:10.7910/DVN/DBW86T "
    "(10,015 images)."
)
LICENCE = "CC BY-NC (Dataverse), CC BY-NC-SA 4.0 (Kaggle); from memory, not checked"
NOTES = (
    "7,470 lesions with up to 6 images: a lesion stays on one side of every split.",
    "HDKD's very test images cannot be matched: the seed of the recipe is not published. The "
    "counts match for every seed.",
)
#: Share of the lesions with one image that the recipe tests on.
TEST = 0.15
#: Settings that say where the images lie, not which they are: the fingerprint stands for them.
PLACE = ("path",)


class Params(Strict):
    """Where the images lie, and how they are divided."""

    path: str = Field(min_length=1)
    """The folder that holds HAM10000_metadata.csv, or one above it."""
    split: Literal["datta", "ratio"] = "datta"
    """`datta`: test on 15 % of the lesions with one image, stratified, and train on the rest;
    `ratio`: by `data.splits`."""
    split_seed: int = Field(0, ge=0)
    """Seed of the `datta` split."""


@dataclass(frozen=True)
class _Image:
    id: str
    lesion: str
    label: str


def rows(params: Params) -> Iterator[Row]:
    """Yield the images of the table that are there, in its order.

    Raises:
        DataError: The table or all of the images are missing.
    """
    for file in _files(params):
        yield file.row()


def fingerprint(params: Params) -> str:
    """Return a hash of the table's facts, sizes and the first 64 KiB of every file."""
    return file_fingerprint(_files(params))


def expected(params: Params) -> Mapping[str, Mapping[str, int]]:
    """Return the counts: of the whole, and of the test split where it is made here."""
    if params.split == "datta":
        return COUNTS
    return {"all": COUNTS["all"]}


def _files(params: Params) -> list[FileRow]:
    table = "HAM10000_metadata.csv"
    root = locate(params.path, holder(table), table, GET)
    images = _table(root / table)
    tested = _tested(images, params.split_seed) if params.split == "datta" else None
    paths = _paths(root)
    found = [
        FileRow(
            id=image.id,
            label=image.label,
            path=paths[image.id],
            split=None if tested is None else "test" if image.id in tested else "train",
            group=image.lesion,
        )
        for image in images
        if image.id in paths
    ]
    if not found:
        raise DataError(str(root), "holds none of the images of its table.", GET)
    return found


def _table(file: Path) -> list[_Image]:
    columns = read_columns(file, ["image_id", "lesion_id", "dx"])
    cells = zip(columns["image_id"], columns["lesion_id"], columns["dx"], strict=True)
    return [_Image(one or "", lesion or "", dx or "") for one, lesion, dx in cells]


def _tested(images: Sequence[_Image], seed: int) -> set[str]:
    """Return the images to test on: of the lesions with one image, so many of each class."""
    seen = Counter(image.lesion for image in images)
    single = [image for image in images if seen[image.lesion] == 1]
    sizes = Counter(image.label for image in single)
    wanted = _shares(sizes, math.ceil(len(single) * TEST))
    chosen: set[str] = set()
    for image in sorted(single, key=lambda one: _rank(one, seed)):
        if wanted[image.label] > 0:
            wanted[image.label] -= 1
            chosen.add(image.id)
    return chosen


def _shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Return ``total`` divided in proportion to ``sizes``, by largest remainders."""
    exact = {name: size * total / sum(sizes.values()) for name, size in sizes.items()}
    shares = {name: int(share) for name, share in exact.items()}
    by_rest = sorted(exact, key=lambda name: (shares[name] - exact[name], name))
    for name in by_rest[: total - sum(shares.values())]:
        shares[name] += 1
    return shares


def _rank(image: _Image, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{image.id}".encode()).digest()


def _paths(root: Path) -> dict[str, Path]:
    """Return the image files under a folder by their names without ending."""
    return {
        Path(name).stem: Path(base, name)
        for base, _, names in os.walk(root)
        for name in sorted(names)
        if name.lower().endswith(SUFFIXES)
    }
