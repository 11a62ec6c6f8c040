"""COVID-QU-Ex: chest X-rays of COVID-19, other pneumonia and normal lungs, with masks (XKD).

Layout, with a doubled folder: ``Lung Segmentation Data/Lung Segmentation Data/{Train,Val,Test}/
{COVID-19,Non-COVID,Normal}/{images,lung masks}/*``; the part ``Infection Segmentation Data`` has
``infection masks`` beside these. 256x256. There are no patient ids, so the given split is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from kdray.data import folder
from kdray.data._files import FileRow, file_fingerprint
from kdray.data._known import locate
from kdray.data._rows import Row
from kdray.spec.strict import Strict

CLASSES = ("COVID-19", "Non-COVID", "Normal")
COUNTS = {
    "train": {"COVID-19": 7658, "Non-COVID": 7208, "Normal": 6849},
    "val": {"COVID-19": 1903, "Non-COVID": 1802, "Normal": 1712},
    "test": {"COVID-19": 2395, "Non-COVID": 2253, "Normal": 2140},
    "all": {"COVID-19": 11956, "Non-COVID": 11263, "Normal": 10701},
}
FROM_MEMORY = ("train", "val", "test", "infection part")
INFECTION = {"all": {"COVID-19": 2913}}
KAGGLE = "anasmohammedtahir/covidqu"
GET = "It is on Kaggle: anasmohammedtahir/covidqu (33,920 images)."
LICENCE = "not stated where kdray looked; see its page"
NOTES = (
    "XKD calls the given 64/16/20 split 65/15/20.",
    "XKD counts 11,956 cases 'including viral or bacterial pneumonia'; by the totals they are "
    "COVID-19 alone.",
)
#: Why the given split cannot be replaced.
KEEP_SPLITS = "COVID-QU-Ex has no patient ids: only its own split is known to keep patients apart."
#: Settings that say where the images lie, not which they are: the fingerprint stands for them.
PLACE = ("path",)


class Params(Strict):
    """Which part of the data set, and with which masks."""

    path: str = Field(min_length=1)
    """The folder that holds `Lung Segmentation Data`, or one above it."""
    part: Literal["lung", "infection"] = "lung"
    """`lung`: all images; `infection`: those of the part with infection masks."""
    masks: Literal["none", "lung", "infection"] = "none"
    """Masks to read: `infection` only in that part."""

    @model_validator(mode="after")
    def _there(self) -> Params:
        if self.masks == "infection" and self.part == "lung":
            raise ValueError("infection masks are in the part `infection` only")
        return self


def rows(params: Params) -> Iterator[Row]:
    """Yield the images, sorted by path.

    Raises:
        DataError: The folder does not hold the data set.
    """
    for file in _files(params):
        yield file.row()


def fingerprint(params: Params) -> str:
    """Return a hash of names, sizes and the first 64 KiB of every file."""
    return file_fingerprint(_files(params))


def expected(params: Params) -> Mapping[str, Mapping[str, int]]:
    """Return the counts of the part."""
    return COUNTS if params.part == "lung" else INFECTION


def _files(params: Params) -> list[FileRow]:
    name = f"{params.part.title()} Segmentation Data"
    root = locate(params.path, lambda one: one.name == name and _splits(one), f"{name}/Train", GET)
    found = folder.files(folder.Params(path=str(root), classes=CLASSES))
    if params.masks == "none":
        return found
    return [_with_mask(file, f"{params.masks} masks") for file in found]


def _splits(root: Path) -> bool:
    return (root / "Train" / "COVID-19" / "images").is_dir()


def _with_mask(file: FileRow, masks: str) -> FileRow:
    mask = file.path.parent.parent / masks / file.path.name
    there = mask if mask.is_file() else None
    return FileRow(file.id, file.label, file.path, file.split, file.group, there)
