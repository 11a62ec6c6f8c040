"""Brain Tumor MRI: 4 classes of slices from Figshare, SARTAJ and Br35H (HDKD, transparency paper).

Layout: ``{Training,Testing}/{class}/*.jpg``, or ``train``, ``test``. Without patient ids; an
``index.csv`` with a column ``group`` is used where it is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from kdray.data import folder
from kdray.data._known import divided_holder, locate
from kdray.data._rows import Row
from kdray.spec.strict import Strict

CLASSES = ("glioma", "meningioma", "notumor", "pituitary")
COUNTS = {
    "train": {"glioma": 1321, "meningioma": 1339, "notumor": 1595, "pituitary": 1457},
    "test": {"glioma": 300, "meningioma": 306, "notumor": 405, "pituitary": 300},
}
#: A copy that lacks four images.
COPIES = ({"train": {"notumor": 1591}},)
KAGGLE = "masoudnickparvar/brain-tumor-mri-dataset"
GET = "It is on Kaggle: masoudnickparvar/brain-tumor-mri-dataset (5,712 to train, 1,311 to test)."
LICENCE = "CC0 (from memory, not checked)"
NOTES = (
    "504 of the 1,311 test images have a nearly equal one in train, of notumor 385 of 405: look "
    "at the scores of the clean part (test_clean) too.",
    "A copy with 5,708 training images (1,591 notumor) is about; HDKD writes 5,711.",
    "SARTAJ is no external test set: most of its images are in here.",
)
#: Settings that say where the images lie, not which they are: the fingerprint stands for them.
PLACE = ("path",)


class Params(Strict):
    """Where the images lie."""

    path: str = Field(min_length=1)
    """The folder that holds Training and Testing, or one above it."""


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
    root = locate(
        params.path, divided_holder(CLASSES[0]), "{Training,Testing}/{glioma,meningioma,...}", GET
    )
    return folder.Params(path=str(root), classes=CLASSES)
