"""``data`` of an experiment: which images, at which size, in which splits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from kdray.spec.strict import PartRef, Strict


class Splits(Strict):
    """How images without a given split are divided; whole groups stay together."""

    val: float = Field(0.15, gt=0, lt=1)
    """Share for validation: choosing epochs and settings."""
    test: float = Field(0.15, ge=0, lt=1)
    """Share for the test, used once at the end; ignored where the source gives a test split."""
    seed: int = Field(0, ge=0)
    """Seed of the division."""

    @model_validator(mode="after")
    def _leave_some(self) -> Splits:
        if self.val + self.test >= 1:
            raise ValueError(
                f"val + test is {self.val + self.test:g}: nothing is left to train on"
            )
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


class Duplicates(Strict):
    """Search for equal and nearly equal images on both sides of a split."""

    check: Literal["near", "exact", "none"] = "near"
    """`exact`: equal pixels; `near`: also a correlation above `threshold`; `none`: no search."""
    threshold: float = Field(0.98, gt=0, le=1)
    """Correlation of two 64x64 grey images from which they count as near duplicates."""
    on_leak: Literal["mark", "fail"] = "mark"
    """`mark`: report test images with a copy in train and also score the rest; `fail`: stop."""


class BadImages(Strict):
    """What to do with images that cannot be read."""

    skip_up_to: int = Field(0, ge=0)
    """So many unreadable images are left out and listed; one more fails the step."""


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
    augment: Augment = Augment()
    """Random changes of the training images."""
