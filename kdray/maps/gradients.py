"""The sums of the gradient methods, over NumPy arrays and PyTorch tensors alike.

Gradients are ``[K, B, D, h, w]``, or ``[K, B, D, 1, 1]`` where all places have the same; values
``[B, D, h, w]``; sums ``[B, K, h, w]``, whose positive part is the map. What each is by the papers
stands in ``kdray/explain``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A NumPy array or a PyTorch tensor: both know the methods that are used here.
Array = Any
#: Gradients and values to sums.
Weigh = Callable[[Array, Array], Array]
#: Added to the denominator of alpha of Grad-CAM++.
EPSILON = 1e-6


def gradcam(gradients: Array, values: Array) -> Array:
    """Return the sums over the channels by their mean gradients."""
    return over_channels(gradients.mean(axis=(3, 4)), values)


def gradcampp(gradients: Array, values: Array) -> Array:
    """Return the sums over the channels by their positive gradients, weighed by alpha."""
    squares = gradients * gradients
    total = values.sum(axis=(2, 3))[:, :, None, None]
    alpha = squares / (2 * squares + total * squares * gradients + EPSILON)
    # Where the gradient is 0, so is alpha: its numerator is 0 and its denominator is not.
    places = values.shape[2] * values.shape[3]
    return over_channels((gradients.clip(0) * alpha).mean(axis=(3, 4)) * places, values)


def layercam(gradients: Array, values: Array) -> Array:
    """Return the sums over the channels, each place by its own positive gradient."""
    if tuple(gradients.shape[3:]) == (1, 1):
        return over_channels(gradients[..., 0, 0].clip(0), values)
    return (gradients.clip(0) * values).sum(axis=2).swapaxes(0, 1)


def over_channels(weights: Array, values: Array) -> Array:
    """Return the sums ``[B, K, h, w]`` of values ``[B, D, h, w]`` by weights ``[K, B, D]``."""
    images, channels, *grid = values.shape
    sums = weights.swapaxes(0, 1) @ values.reshape(images, channels, -1)
    return sums.reshape(images, -1, *grid)


def blank_sums(
    tap: str, sums: NDArray[np.float32], gradients: Array, values: Array
) -> Mapping[tuple[int, int], str]:
    """Return why maps are blank of which no place is positive, or which have a single place.

    Args:
        tap: Name of the tap that they are of.
        sums: ``[B, K, h, w]``, of one of the methods.
        gradients: ``[K, B, D, h, w]``.
        values: ``[B, D, h, w]``.
    """
    count, places, *grid = sums.shape
    if grid == [1, 1]:
        text = f"the map is blank: tap `{tap}` has a single place, which shows no where."
        return {(image, place): text for image in range(count) for place in range(places)}
    highest = sums.max(axis=(2, 3))
    return {
        (image, place): _why(tap, gradients[place, image], values[image])
        for image, place in np.argwhere(highest <= 0).tolist()
    }


def _why(tap: str, gradient: Array, values: Array) -> str:
    if not values.any():
        return f"the map is blank: all values at tap `{tap}` are 0."
    if not gradient.any():
        return f"the map is blank: all gradients at tap `{tap}` are 0, the class depends on none."
    return (
        "the map is blank: no place speaks for the class, every weighted sum at tap "
        f"`{tap}` is negative or 0."
    )
