"""What the gradient methods share: one forward pass, and a map for the gradients of each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from kdray.explain._head import gradients_of, head_from
from kdray.explain._subject import Raw, Subject

#: Gradients ``[K, B, D, h, w]``, or ``[K, B, D, 1, 1]`` where all places have the same, and values
#: ``[B, D, h, w]`` at a tap to sums over the channels, ``[B, K, h, w]``.
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
    head = head_from(subject, tap, images)
    gradients = gradients_of(head, classes)
    sums = weigh(gradients, head.maps)
    return Raw(sums.relu(), len(images), reasons=_reasons(tap, sums, gradients, head.maps))


def over_channels(weights: Tensor, values: Tensor) -> Tensor:
    """Return the sums ``[B, K, h, w]`` of values ``[B, D, h, w]`` by weights ``[K, B, D]``."""
    sums = torch.matmul(weights.transpose(0, 1), values.flatten(2))
    return torch.unflatten(sums, 2, values.shape[2:])


def _reasons(
    tap: str, sums: Tensor, gradients: Tensor, values: Tensor
) -> Mapping[tuple[int, int], str]:
    """Return why maps are blank of which no place is positive, or which have a single place."""
    count, places, *grid = sums.shape
    if grid == [1, 1]:
        text = f"the map is blank: tap `{tap}` has a single place, which shows no where."
        return {(image, place): text for image in range(count) for place in range(places)}
    highest = sums.amax(dim=(2, 3)).tolist()
    return {
        (image, place): _why(tap, gradients[place, image], values[image])
        for image, row in enumerate(highest)
        for place, high in enumerate(row)
        if high <= 0
    }


def _why(tap: str, gradient: Tensor, values: Tensor) -> str:
    if not values.any():
        return f"the map is blank: all values at tap `{tap}` are 0."
    if not gradient.any():
        return f"the map is blank: all gradients at tap `{tap}` are 0, the class depends on none."
    return (
        "the map is blank: no place speaks for the class, every weighted sum at tap "
        f"`{tap}` is negative or 0."
    )
