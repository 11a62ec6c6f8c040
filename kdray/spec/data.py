"""``data`` of an experiment: which images, at which size, in which splits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from kdray.spec.strict import PartRef, Strict


class Folds(Strict):
    """One of the divisions of a cross-validation; write a job for each."""

    k: int = Field(5, ge=2)
    """Number of folds: equal parts, by class and group."""
    fold: int = Field(0, ge=0)
    """The fold that is the test split, from 0."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Folds:
        if self.fold >= self.k:
            raise ValueError(f"fold is {self.fold}, but {self.k} folds are numbered from 0")
        return self


class Splits(Strict):
    """How images are divided: stratified by class, whole groups together."""

    val: float = Field(0.15, gt=0, lt=1)
    """Share for validation: choosing epochs and settings."""
    test: float = Field(0.15, ge=0, lt=1)
    """Share for the test, used once at the end; ignored where the source gives a test split."""
    seed: int = Field(0, ge=0)
    """Seed of the division."""
    use_given: bool = True
    """Keep the train, val and test splits that the source gives; false: divide anew."""
    folds: Folds | None = None
    """Cross-validation: one fold is the test split, whatever `test` says; null: none."""

    @model_validator(mode="after")
    def _leave_some(self) -> Splits:
        test = 1 / self.folds.k if self.folds else self.test
        if self.val + test >= 1:
            raise ValueError(f"val + test is {self.val + test:g}: nothing is left to train on")
        return self


class Augment(Strict):
    """Random changes of a training image; each view is named by (seed, epoch, index)."""

    hflip: bool = True
    """Mirror left and right, half of the time."""
    vflip: bool = False
    """Mirror top and bottom, half of the time."""
    rotate: float = Field(10.0, ge=0, le=180)
    """Largest rotation, degrees, either way."""
    shift: float = Field(0.05, ge=0, le=0.5)
    """Largest shift, as a share of the image's side."""
    zoom: float = Field(0.1, ge=0, le=0.9)
    """Largest change of scale, as a share."""
    brightness: float = Field(0.1, ge=0, le=1)
    """Largest change of brightness, as a share."""
    contrast: float = Field(0.1, ge=0, le=1)
    """Largest change of contrast, as a share."""
    sharpness: float = Field(1.0, ge=0, le=10)
    """Factor of sharpness for half of the images; 1: as they are, 2: sharpened, 0: softened."""
    blur: int = Field(0, ge=0, le=31)
    """Side of a Gaussian blur, pixels, odd; its sigma is drawn from 0.1 to 2. 0: none."""

    @field_validator("blur")
    @classmethod
    def _odd(cls, blur: int) -> int:
        if blur and blur % 2 == 0:
            raise ValueError("the side of a blur is odd: 3, 5, ...")
        return blur


#: Augmentations by name.
AUGMENTS: dict[str, dict[str, Any]] = {
    "none": {
        "hflip": False,
        "rotate": 0.0,
        "shift": 0.0,
        "zoom": 0.0,
        "brightness": 0.0,
        "contrast": 0.0,
    },
    "light": {},
    "hdkd": {
        "vflip": True,
        "rotate": 180.0,
        "shift": 0.0,
        "zoom": 0.0,
        "brightness": 0.3,
        "contrast": 0.3,
        "sharpness": 2.0,
        "blur": 3,
    },
}


def augment_in_full(value: Any) -> Any:
    """Return the changes that a name stands for; what is no name stays as it is."""
    if not isinstance(value, str):
        return value
    if value not in AUGMENTS:
        raise ValueError(f"no augmentation is called {value!r}; there are {', '.join(AUGMENTS)}")
    return AUGMENTS[value]


#: Changes in full, or by their name.
AugmentRef = Annotated[
    Augment,
    BeforeValidator(
        augment_in_full, json_schema_input_type=Literal["none", "light", "hdkd"] | Augment
    ),
]


class Duplicates(Strict):
    """Search for equal and nearly equal images on both sides of a split."""

    check: Literal["near", "exact", "none"] = "near"
    """`exact`: equal pixels; `near`: also a correlation above `threshold`; `none`: no search."""
    threshold: float = Field(0.98, gt=0, le=1)
    """Correlation of two 64x64 grey images from which they count as near duplicates."""
    flips: bool = False
    """Find mirrored and turned copies too; eight times the work."""
    on_leak: Literal["mark", "fail"] = "mark"
    """`mark`: report test images with a copy in train and also score the rest; `fail`: stop."""


class BadImages(Strict):
    """What to do with images that cannot be read."""

    skip_up_to: int = Field(0, ge=0)
    """So many unreadable images are left out and listed; one more fails the step."""


class Window(Strict):
    """Which values of a DICOM image are shown, from black to white."""

    center: float
    """The value that becomes middle grey, in the file's units (Hounsfield units in CT)."""
    width: float = Field(ge=1)
    """The distance from black to white."""


class Data(Strict):
    """Which images, at which size, in which splits."""

    source: PartRef
    """Where the images come from: see `kdray data list`."""
    image_size: int = Field(224, ge=8, le=4096)
    """Height and width in pixels that every image is resized to."""
    channels: Literal[1, 3] = 3
    """1 for grey images, 3 for colour."""
    splits: Splits = Splits()
    """How images without a given split are divided."""
    duplicates: Duplicates = Duplicates()
    """What is done about copies of an image on both sides of a split."""
    bad_images: BadImages = BadImages()
    """What is done about images that cannot be read."""
    window: Window | None = None
    """DICOM: the values shown; null: the window of each file, or else all of its values."""
    normalize: Literal["train", "imagenet"] = "train"
    """Mean and deviation that pixels are standardised by: of the train split, or ImageNet's."""
    augment: AugmentRef = Augment()
    """Random changes of the training images; by name `none`, `light` (the defaults) or `hdkd`."""
