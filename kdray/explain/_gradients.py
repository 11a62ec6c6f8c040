"""What the gradient methods share: one forward pass, and a map for the gradients of each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from kdray.explain._subject import Raw, Subject
from kdray.explain._watch import gradients_of, head_from

#: Gradients and values at a tap, ``[B, D, h, w]`` each, to the sums over channels ``[B, h, w]``.
Weigh = Callable[[Tensor, Tensor], Tensor]


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
    head = head_from(subject.net, tap, images)
    values = head.maps.detach()
    gradients = list(gradients_of(head, subject.net, tap, classes))
    sums = torch.stack([weigh(gradient, values) for gradient in gradients], dim=1)
    return Raw(sums.relu(), len(images), reasons=_reasons(tap, sums, gradients, values))


def _reasons(
    tap: str, sums: Tensor, gradients: list[Tensor], values: Tensor
) -> Mapping[tuple[int, int], str]:
    """Return why maps are blank of which no place is positive, or which have a single place."""
    if sums[0, 0].numel() == 1:
        text = f"the map is blank: tap `{tap}` has a single place, which shows no where."
        return {
            (image, place): text for image in range(len(sums)) for place in range(len(gradients))
        }
    highest = sums.amax(dim=(2, 3)).tolist()
    return {
        (image, place): _why(tap, gradients[place][image], values[image])
        for image, row in enumerate(highest)
        for place, high in enumerate(row)
        if high <= 0
    }


def _why(tap: str, gradient: Tensor, values: Tensor) -> str:
    if not gradient.any():
        return f"the map is blank: all gradients at tap `{tap}` are 0, the class depends on none."
    if not values.any():
        return f"the map is blank: all values at tap `{tap}` are 0."
    return (
        "the map is blank: no place speaks for the class, every weighted sum at tap "
        f"`{tap}` is negative or 0."
    )
