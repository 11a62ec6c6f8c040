"""Score-CAM: maps weighted by the class score of the image seen through each (Wang et al., 2020).

arXiv:1910.01279, algorithm 1. Every channel of the layer, enlarged and scaled to [0, 1], masks
the image; the map is ReLU(sum_k w_k A_k). The variant is pytorch-grad-cam's: w is the softmax over
channels of the raw logit of the class (the paper first subtracts the logit of a blank image, which
the softmax cancels). One forward pass a channel serves all classes.

Channels with equal masks share one forward pass. Constant channels are among them: their mask is
0 and their score that of an image of zeros, and they keep their weight in the softmax and their
part in the map.

Differs: the paper's own code weighs by the class probability, without a softmax over channels.
pytorch-grad-cam's mask of a constant channel other than 0 may be rounding noise instead of 0.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from kdray.explain._masks import looking
from kdray.explain._subject import Subject, indices, numbers
from kdray.explain._watch import maps_at
from kdray.maps import Raw
from kdray.maps.scorecam import score_cam
from kdray.spec.strict import Strict

#: What an image costs, whatever the number of classes unless they are named.
COST = "1 forward a channel (512 ... 2048)"
PRESETS: dict[str, dict[str, Any]] = {"score-cam": {"params": {}}}


class Params(Strict):
    """Settings of Score-CAM."""

    tap: str = "cam"
    """Which layer: `cam` (the model's own choice) or `stage1`, `stage2`, ..."""
    batch_size: int | None = Field(None, ge=1, le=1024)
    """Masked images in one forward pass; changes speed and memory, not the map. `null`: as many as
    are fastest."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the masked forward passes. `bfloat16` is faster where the processor has it and
    may change a map whose weights lie close together."""


def explain(params: Params, subject: Subject, images: Tensor, classes: Tensor) -> Raw:
    """Return where each image speaks for its classes, in one forward pass a channel.

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
    return score_cam(numbers(seen[params.tap]), indices(classes), size, through)
