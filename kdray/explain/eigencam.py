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

import numpy as np
from torch import Tensor

from kdray.explain._subject import Subject, numbers
from kdray.explain._watch import maps_at
from kdray.maps import Raw
from kdray.maps.principal import principal
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
    first = principal(numbers(seen[params.tap])).clip(0)
    return Raw(np.repeat(first[:, None], classes.shape[1], axis=1), forwards=len(images))
