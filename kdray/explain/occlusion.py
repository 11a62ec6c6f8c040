"""Occlusion: how far the score of the class falls where a window hides the image.

Zeiler and Fergus (2014, arXiv:1311.2901). The window moves over the image by the rules of captum's
``Occlusion``: cut off at the lower and right edge, and each place gets the mean, over the windows
that hide it, of score(image) - score(image with the window hidden). The same forward passes serve
all classes.

Differs: the map shows the positive part (`sign`), as class activation maps do, and follows the
logit; Zeiler and Fergus draw the probability (`score`), which hardly moves where it is near 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from kdray.explain._hidden import (
    baseline_of,
    beyond_rounding,
    logits_behind,
    nothing_speaks,
    scores_of,
    signed,
)
from kdray.explain._subject import Raw, Subject, batch_of
from kdray.spec.strict import Strict
from kdray.spec.terms import Baseline, Score, Sign

#: Whether the map of a class differs from that of another.
CLASSWISE = True
#: What an image costs, whatever the number of classes unless they are named.
COST = "1 forward a window: 170"
PRESETS: dict[str, dict[str, Any]] = {"occlusion-sensitivity": {"params": {}}}
REASON = "the map is blank: hiding no part of the image lowers the score of this class."


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
    rows, columns = (
        _windows(side, params.window, params.stride).to(images.device) for side in images.shape[2:]
    )
    hidden = baseline_of(images, params.baseline)
    count = len(rows) * len(columns)
    found = []
    for image, behind, wanted in zip(images, hidden, classes, strict=True):
        kept = _kept(rows, columns, batch_of(image))
        logits = logits_behind(subject, image, behind, kept, len(images) * (count + 1))
        scores = beyond_rounding(scores_of(logits, params.score)[:, wanted])
        falls = (scores[:1] - scores[1:]).reshape(len(rows), len(columns), -1)
        found.append(_spread(falls, rows.to(falls), columns.to(falls)))
    maps = torch.stack(found)
    shown = signed(maps, params.sign)
    reasons = nothing_speaks(maps, shown, REASON)
    return Raw(shown, forwards=len(images) * (count + 1), reasons=reasons)


def _windows(side: int, window: float, stride: float) -> Tensor:
    """Return which of ``side`` pixels each window along one axis hides, bool ``[n, side]``."""
    size, step = max(1, round(window * side)), max(1, round(stride * side))
    starts = torch.arange(ceil((side - size) / min(step, size)) + 1) * min(step, size)
    at = torch.arange(side)
    return (at >= starts[:, None]) & (at < starts[:, None] + size)


def _kept(rows: Tensor, columns: Tensor, size: int) -> Iterator[Tensor]:
    """Yield batches of masks: nothing hidden, then each window, row by row."""
    first = torch.ones(1, rows.shape[1], columns.shape[1], dtype=torch.bool, device=rows.device)
    yield first
    places = torch.cartesian_prod(torch.arange(len(rows)), torch.arange(len(columns)))
    for some in torch.split(places.to(rows.device), size):
        yield ~(rows[some[:, 0], :, None] & columns[some[:, 1], None, :])


def _spread(falls: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return for each pixel the mean of the windows that hide it, ``[K, H, W]``.

    Args:
        falls: ``[n, m, K]``: of the window in each row and column.
        rows: ``[n, H]``: 1 where a window of the row hides.
        columns: ``[m, W]``.
    """
    total = torch.einsum("nmk,nh,mw->khw", falls, rows, columns)
    return total / (rows.sum(0)[:, None] * columns.sum(0))
