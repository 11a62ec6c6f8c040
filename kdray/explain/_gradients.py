"""What the gradient methods share: one forward pass, and a map for the gradients of each class."""

from __future__ import annotations

from torch import Tensor

from kdray.explain._head import gradients_of, head_from
from kdray.explain._subject import Subject, numbers
from kdray.maps import Raw
from kdray.maps.gradients import Weigh, blank_sums


def weighed(subject: Subject, tap: str, images: Tensor, classes: Tensor, weigh: Weigh) -> Raw:
    """Return the positive part of the sums at a tap for each class, from one forward pass.

    Args:
        subject: The classifier.
        tap: Name of the tap.
        images: ``[B, c, H, W]``, standardised.
        classes: int64 ``[B, K]``.
        weigh: The method's own sum over the channels.

    Raises:
        ModelError: The network has no such tap.
    """
    head = head_from(subject, tap, images)
    gradients = gradients_of(head, classes)
    sums = numbers(weigh(gradients, head.maps))
    reasons = blank_sums(tap, sums, gradients, head.maps)
    return Raw(sums.clip(0), len(images), reasons=reasons)
