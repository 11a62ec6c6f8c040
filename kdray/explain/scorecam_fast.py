"""Fast Score-CAM: within a budget of forward passes, with an estimate of how near it comes.

The channels' masks (see `scorecam`) are grouped by k-means. The mean mask of each group is scored,
a Gaussian process over masks (kriging) guesses the scores of all channels from these, and the
channels that weigh most by that guess are then scored exactly, which also corrects the guess of
the rest. With as many forward passes as there are different masks it is exact Score-CAM.

The estimate is the mean Pearson correlation of the map with maps whose unknown scores are drawn
from what the process leaves open: what the scored masks do not tell of the others. It is 1 where
nothing was guessed. What the settings were tuned on and confirmed on: docs/explanations.md.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from kdray.explain._masks import looking
from kdray.explain._subject import Subject, indices, numbers
from kdray.explain._watch import maps_at
from kdray.maps import Raw
from kdray.maps.scorecam import Budget, score_cam_within
from kdray.spec.strict import Strict

COST = "1 forward for every 4 channels, at least 64; preview: 32"
PRESETS: dict[str, dict[str, Any]] = {
    "score-cam-fast": {"params": {}},
    "score-cam-preview": {"params": {"budget": 32, "rescored": 0.375}},
}


class Params(Strict):
    """Settings of fast Score-CAM."""

    tap: str = "cam"
    """Which layer: `cam` (the model's own choice) or `stage1`, `stage2`, ..."""
    budget: int | None = Field(None, ge=8)
    """Most forward passes for an image; `null`: a quarter of the channels, at least 64."""
    budget_ms: float | None = Field(None, gt=0)
    """Milliseconds that the forward passes of an image should take, where that is less."""
    rescored: float = Field(0.6, ge=0, le=0.9)
    """Share of the budget that scores single channels, after the groups."""
    batch_size: int | None = Field(None, ge=1, le=1024)
    """Masked images in one forward pass; changes speed and memory, not the map. `null`: as many as
    are fastest."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the masked forward passes; `bfloat16` is faster where the processor has it."""


def explain(params: Params, subject: Subject, images: Tensor, classes: Tensor) -> Raw:
    """Return about where each image speaks for its classes, and how near that is to Score-CAM.

    Args:
        params: The settings.
        subject: The classifier.
        images: ``[B, c, H, W]``, standardised.
        classes: int64 ``[B, K]``.

    Raises:
        ModelError: The network has no such tap.
    """
    _, seen = maps_at(subject.net, (params.tap,), images)
    through = looking(subject, images, params.batch_size, params.precision)
    size = (images.shape[2], images.shape[3])
    budget = Budget(params.budget, params.budget_ms, params.rescored)
    return score_cam_within(budget, numbers(seen[params.tap]), indices(classes), size, through)
