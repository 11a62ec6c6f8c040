"""Grad-CAM++: maps weighted by their places' positive gradients (Chattopadhay et al., 2018).

arXiv:1710.11063: L = ReLU(sum_k w_k A_k), w_k = sum_ij alpha_kij ReLU(g_kij) (eq. 5 and 7), with
alpha_kij = g^2 / (2 g^2 + g^3 sum_ab A_kab) (eq. 19), g = dy_c / dA_kij and alpha 0 where g is 0.
The variant is pytorch-grad-cam's (1.5.7): y_c is the logit of the class itself, and 1e-6 is added
to the denominator. One forward pass serves all classes.

Differs: the paper takes exp of the logit as y_c, which scales all gradients of an image and so
changes the balance of the two terms below alpha; and the backward pass ends at the tap, which
changes no value.
"""

from __future__ import annotations

from torch import Tensor

from kdray.explain._gradients import weighed
from kdray.explain._subject import Subject
from kdray.maps import Raw
from kdray.maps.gradients import gradcampp
from kdray.spec.strict import Strict

#: What an image costs, whatever the number of classes unless they are named.
COST = "1 forward, 1 backward of the head a class"
PRESETS = {"grad-cam++": {"params": {}, "source": "arXiv:1710.11063"}}


class Params(Strict):
    """Settings of Grad-CAM++."""

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
    return weighed(subject, params.tap, images, classes, gradcampp)
