"""Score-CAM: maps weighted by the class score of the image seen through each (Wang et al., 2020).

arXiv:1910.01279, algorithm 1. Every channel of the layer, enlarged and scaled to [0, 1], masks
the image; the map is ReLU(sum_k w_k A_k). The variant is pytorch-grad-cam's: w is the softmax over
channels of the raw logit of the class (the paper first subtracts the logit of a blank image, which
the softmax cancels). One forward pass a channel serves all classes.

Differs: the paper's own code weighs by the class probability, without a softmax over channels.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import interpolate

from kdray.explain._subject import Raw, Subject
from kdray.explain._watch import maps_at
from kdray.spec.strict import Strict


class Params(Strict):
    """Settings of Score-CAM."""

    tap: str = "cam"
    """Which layer: `cam` (the model's own choice) or `stage1`, `stage2`, ..."""
    batch_size: int = Field(32, ge=1, le=1024)
    """Masked images in one forward pass; changes speed and memory, not the map."""


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
    maps = seen[params.tap]
    found = [
        _one(subject, image, values, wanted, params.batch_size)
        for image, values, wanted in zip(images, maps, classes, strict=True)
    ]
    return Raw(torch.stack(found), forwards=len(images) * (1 + maps.shape[1]))


def _one(
    subject: Subject, image: Tensor, maps: Tensor, classes: Tensor, batch_size: int
) -> Tensor:
    """Return the maps ``[K, h, w]`` of one image ``[c, H, W]`` from the layer's ``[D, h, w]``."""
    logits = []
    for some in torch.split(maps, batch_size):
        masks = interpolate(some[None], image.shape[1:], mode="bilinear", align_corners=True)[0]
        low, high = masks.amin(dim=(1, 2)), masks.amax(dim=(1, 2))
        masks = (masks - low[:, None, None]) / (high - low).clamp_min(1e-8)[:, None, None]
        logits.append(subject.forward(image * masks[:, None]))
    weights = torch.cat(logits)[:, classes].softmax(dim=0)  # [D, K]
    return torch.einsum("dk,dhw->khw", weights, maps).relu()
