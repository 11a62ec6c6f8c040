"""Grad-CAM: maps weighted by the mean gradient of the class score (Selvaraju et al., 2017).

arXiv:1610.02391, eq. 1 and 2: L = ReLU(sum_k a_k A_k), a_k = mean over the grid of dy_c / dA_k,
y_c the logit of the class. One forward pass serves all classes.

Differs: the backward pass ends at the tap, which changes no value.
"""

from __future__ import annotations

from torch import Tensor

from kdray.explain._gradients import weighed
from kdray.explain._subject import Subject
from kdray.maps import Raw
from kdray.maps.gradients import gradcam
from kdray.spec.strict import Strict

#: What an image costs, whatever the number of classes unless they are named.
COST = "1 forward, 1 backward of the head a class"
PRESETS = {"grad-cam": {"params": {}, "source": "arXiv:1610.02391"}}


class Params(Strict):
    """Settings of Grad-CAM."""

    tap: str = "cam"
    """Which layer: `cam` (the model's own choice) or `stage1`, `stage2`, ..."""


def explain(params: Params, subject: Subject, images: Tensor, classes: Tensor) -> Raw:
    """Return where each image speaks for its classes, in about one forward pass.

    Args:
        params: The settings.
        subject: The classifier.
        images: ``[B, c, H, W]``, standardised.
        classes: int64 ``[B, K]``.

    Raises:
        ModelError: The network has no such tap.
    """
    return weighed(subject, params.tap, images, classes, gradcam)
