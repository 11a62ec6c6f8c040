"""Grad-CAM: maps weighted by the mean gradient of the class score (Selvaraju et al., 2017).

arXiv:1610.02391, eq. 1 and 2: L = ReLU(sum_k a_k A_k), a_k = mean over the grid of dy_c / dA_k,
y_c the logit of the class. One forward pass serves all classes.

Differs: the backward pass ends at the tap, which changes no value.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdray.explain._subject import Raw, Subject
from kdray.explain._watch import gradients_of, head_from
from kdray.spec.strict import Strict


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
    head = head_from(subject.net, params.tap, images)
    values = head.maps.detach()
    maps = [
        torch.einsum("bd,bdhw->bhw", gradient.mean(dim=(2, 3)), values).relu()
        for gradient in gradients_of(head, subject.net, params.tap, classes)
    ]
    return Raw(torch.stack(maps, dim=1), forwards=len(images))
