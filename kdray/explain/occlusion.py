"""Occlusion: how far the score of the class falls where a window hides the image.

Zeiler and Fergus (2014, arXiv:1311.2901). The window moves over the image by the rules of captum's
``Occlusion``: cut off at the lower and right edge, and each place gets the mean, over the windows
that hide it, of score(image) - score(image with the window hidden). The same forward passes serve
all classes.

Differs: the map shows the positive part (`sign`), as class activation maps do, and follows the
logit; Zeiler and Fergus draw the probability (`score`), which hardly moves where it is near 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from kdray.explain._hidden import baseline_of, logits_behind
from kdray.explain._subject import Subject, batch_of, indices, numbers
from kdray.maps import Raw
from kdray.maps.hiding import Kept, Windows, occlusion, passes
from kdray.spec.strict import Strict
from kdray.spec.terms import Baseline, Score, Sign

#: Whether the map of a class differs from that of another.
CLASSWISE = True
#: What an image costs, whatever the number of classes unless they are named.
COST = "1 forward a window: 170"
PRESETS: dict[str, dict[str, Any]] = {"occlusion-sensitivity": {"params": {}}}


class Params(Strict):
    """The window, and what it hides the image behind."""

    window: float = Field(0.143, gt=0, le=1)
    """Side of the window as a share of the image's; 0.143 is 32 px at 224."""
    stride: float = Field(0.0715, gt=0, le=1, validate_default=True)
    """Step from one window to the next as a share of the image's side; at most `window`."""
    baseline: Baseline = "mean"
    """What hides: `mean` (of the training images), `blurred` (the image itself) or `darkest`
    (the image's darkest value of each channel)."""
    score: Score = "logit"
    """What falls: the class's `logit` or its `probability`."""
    sign: Sign = "positive"
    """`positive`: places that speak for the class; `absolute`: all that matter to it."""

    @field_validator("stride")
    @classmethod
    def _leaves_no_gap(cls, stride: float, info: ValidationInfo) -> float:
        if stride > info.data.get("window", 1.0):
            raise ValueError("above window: places between the windows would never be hidden")
        return stride


def explain(params: Params, subject: Subject, images: Tensor, classes: Tensor) -> Raw:
    """Return what of each image its classes miss when it is hidden.

    Args:
        params: The settings.
        subject: The classifier.
        images: ``[B, c, H, W]``, standardised.
        classes: int64 ``[B, K]``.
    """
    settings = Windows(params.window, params.stride, params.score, params.sign)
    size = (images.shape[2], images.shape[3])
    hidden = baseline_of(images, params.baseline)
    planned = len(images) * passes(size, settings)

    def behind(number: int, kept: Kept) -> NDArray[np.float32]:
        image = images[number]
        masks = (torch.from_numpy(some).to(image.device) for some in kept)
        return numbers(logits_behind(subject, image, hidden[number], masks, planned))

    return occlusion(settings, indices(classes), size, batch_of(images[0]), behind)
