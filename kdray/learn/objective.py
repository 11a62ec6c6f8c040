"""What a model is trained towards: its labels, or a method with a teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from kdray.net import Look, Net, look

#: A method of ``kdray.distill``: (student's look, teacher's look or None, labels) -> terms.
Method = Callable[[Look, Look | None, Tensor], Mapping[str, Tensor]]


class Objective(Protocol):
    """Terms of a loss for a batch, already weighted; the loss is their sum."""

    def __call__(self, net: Net, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """Return the terms for ``images`` ``[B, c, H, W]`` and ``labels`` ``[B]``."""


class Labels:
    """Cross-entropy with the labels: how teachers are pretrained.

    Args:
        class_weights: Weight of each class ``[C]``, or None.
    """

    def __init__(self, class_weights: Tensor | None = None) -> None:
        self._weights = class_weights

    def __call__(self, net: Net, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """Return the cross-entropy."""
        logits = look(net, images).logits.float()
        return {"cross_entropy": F.cross_entropy(logits, labels, self._weights)}


class Taught:
    """A method, with the teacher looking at the same images in eval mode without gradients.

    Args:
        method: The method.
        teacher: The teacher's net; None for a method that needs none.
    """

    def __init__(self, method: Method, teacher: Net | None) -> None:
        self._method = method
        self._teacher = teacher
        if teacher is not None:
            teacher.module.eval().requires_grad_(False)

    def __call__(self, net: Net, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """Return the method's terms."""
        seen = None
        if self._teacher is not None:
            with torch.no_grad():
                seen = look(self._teacher, images)
        return self._method(look(net, images), seen, labels)
