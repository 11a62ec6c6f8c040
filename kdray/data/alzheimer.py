"""Alzheimer MRI slices: 4 stages of dementia, 176x208 grey (transparency paper).

Layout: ``Alzheimer_s Dataset/{train,test}/{class}/*.jpg``. 200 subjects of 32 slices each, without
subject ids: the given split has slices of one subject on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from kdray.data import folder
from kdray.data._known import divided_holder, locate
from kdray.data._rows import Row
from kdray.spec.strict import Strict

CLASSES = ("MildDemented", "ModerateDemented", "NonDemented", "VeryMildDemented")
COUNTS = {
    "train": {
        "MildDemented": 717,
        "ModerateDemented": 52,
        "NonDemented": 2560,
        "VeryMildDemented": 1792,
    },
    "test": {
        "MildDemented": 179,
        "ModerateDemented": 12,
        "NonDemented": 640,
        "VeryMildDemented": 448,
    },
}
FROM_MEMORY = ("train NonDemented", "train VeryMildDemented")
KAGGLE = "tourist55/alzheimers-dataset-4-class-of-images"
GET = "It is on Kaggle: tourist55/alzheimers-dataset-4-class-of-images (6,400 images)."
LICENCE = "not stated where kdray looked; see its page"
NOTES = (
    "All 30 subjects that can be recognised have slices in train and in test: test scores are of "
    "known subjects.",
    "The transparency paper does not name its Alzheimer set; that it is this one is a guess.",
)
#: Settings that say where the images lie, not which they are: the fingerprint stands for them.
PLACE = ("path",)


class Params(Strict):
    """Where the images lie."""

    path: str = Field(min_length=1)
    """The folder that holds train and test, or one above it."""


def rows(params: Params) -> Iterator[Row]:
    """Yield the images, sorted by path.

    Raises:
        DataError: The folder does not hold the data set.
    """
    return folder.rows(_folder(params))


def fingerprint(params: Params) -> str:
    """Return a hash of names, sizes and the first 64 KiB of every file."""
    return folder.fingerprint(_folder(params))


def _folder(params: Params) -> folder.Params:
    root = locate(params.path, divided_holder(CLASSES[0]), "{train,test}/{MildDemented,...}", GET)
    return folder.Params(path=str(root), classes=CLASSES)
