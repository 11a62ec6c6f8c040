"""Eigen-CAM: the first principal component of a layer's maps (Muhammad and Yeasin, 2020).

arXiv:2008.00299: L = A v_1, with A the maps as ``[h w, D]`` and v_1 their first right singular
vector, whatever the class. The variant is pytorch-grad-cam's (1.5.7): the mean of each channel is
taken off first, and negative values become 0.

Differs: a singular vector is known up to its sign, which pytorch-grad-cam's ``EigenCAM`` leaves to
the linear algebra library, so that its map may be the background. Here the value farthest from 0
is positive, as in its ``get_2d_projection_with_sign_correction`` (Seg-Eigen-CAM, Chung and Ying,
2025, eq. 13).
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdray.explain._subject import Raw, Subject
from kdray.explain._watch import maps_at
from kdray.spec.strict import Strict

#: Whether the map of a class differs from that of another.
CLASSWISE = False
#: What an image costs, whatever the number of classes unless they are named.
COST = "1 forward"
PRESETS = {"eigen-cam": {"params": {}, "source": "arXiv:2008.00299"}}


class Params(Strict):
    """Settings of Eigen-CAM."""

    tap: str = "cam"
    """Which layer: `cam` (the model's own choice) or `stage1`, `stage2`, ..."""


def explain(params: Params, subject: Subject, images: Tensor, classes: Tensor) -> Raw:
    """Return where the layer differs most from its mean, in one forward pass.

    Args:
        params: The settings.
        subject: The classifier.
        images: ``[B, c, H, W]``, standardised.
        classes: int64 ``[B, K]``; the map does not depend on them.

    Raises:
        ModelError: The network has no such tap.
    """
    _, seen = maps_at(subject.net, (params.tap,), images)
    maps = seen[params.tap]
    first = _projections(maps.flatten(2).transpose(1, 2)).reshape(len(maps), 1, *maps.shape[2:])
    return Raw(first.relu().expand(-1, classes.shape[1], -1, -1), forwards=len(images))


def _projections(places: Tensor) -> Tensor:
    """Return places ``[B, N, D]`` along their first principal component, ``[B, N]``.

    The eigenvectors of the smaller of the two products of the matrix with itself are enough, and
    far cheaper than all singular vectors.
    """
    centred = (places - places.mean(dim=1, keepdim=True)).double()
    if places.shape[1] <= places.shape[2]:
        values, vectors = torch.linalg.eigh(centred @ centred.mT)
        first = vectors[:, :, -1] * values[:, -1:].clamp_min(0).sqrt()
    else:
        _, vectors = torch.linalg.eigh(centred.mT @ centred)
        first = (centred @ vectors[:, :, -1:])[:, :, 0]
    low, high = torch.aminmax(first, dim=1, keepdim=True)
    return torch.where(-low > high, -first, first).float()
