"""Eye diseases: 4 classes of fundus photographs (transparency paper).

Layout: ``dataset/{class}/*``. No split is given. 1,234 of the images are flipped copies of others
in their class (Keras file names ``_I_R.jpg``), found at correlations above 0.97: set
``data.duplicates: {flips: true, threshold: 0.97}``, so that copies stay on one side of the split.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from kdray.data import folder
from kdray.data._known import holder, locate
from kdray.data._rows import Row
from kdray.spec.strict import Strict

CLASSES = ("cataract", "diabetic_retinopathy", "glaucoma", "normal")
COUNTS = {"all": {"*": 4213}}
KAGGLE = "gunavenkatdoddi/eye-diseases-classification"
GET = "It is on Kaggle: gunavenkatdoddi/eye-diseases-classification."
LICENCE = "not stated where kdray looked; see its page"
NOTES = (
    "600 glaucoma and 634 cataract files are flipped copies of others: 4,213 images are 1,764 "
    "groups, and random splits leak. They were found at a correlation above 0.97: set "
    "data.duplicates: {flips: true, threshold: 0.97}; the default of 0.98 can miss some.",
    "1415_right.jpg and 625_left.jpg are in both cataract and glaucoma.",
    "The transparency paper does not name its eye set; that it is this one is a guess.",
)
#: Settings that say where the images lie, not which they are: the fingerprint stands for them.
PLACE = ("path",)


class Params(Strict):
    """Where the images lie."""

    path: str = Field(min_length=1)
    """The folder that holds the four class folders, or one above it."""


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
    root = locate(params.path, holder(*CLASSES), "{cataract,diabetic_retinopathy,...}", GET)
    return folder.Params(path=str(root), classes=CLASSES)
