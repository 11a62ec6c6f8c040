"""What a model is trained towards: its labels, or a method with a teacher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdray.distill import DistillationMethod
from kdray.learn.batches import Batch
from kdray.learn.teachers import Teacher
from kdray.learn.world import World
from kdray.net import Net, Wants, look


class Objective(ABC):
    """Terms of a loss for a batch, already weighted; the loss is their sum."""

    #: Modules that are trained with the net and never published.
    adapters: nn.Module | None = None
    #: Whether more than logits is seen of the net that is trained.
    looks_inside: bool = False

    def spread(self, world: World) -> None:
        """Take note of the processes that train together.

        Args:
            world: The processes; ``World.wrap`` averages the gradients of ``adapters``.
        """
        return None

    def begin(self, progress: float) -> None:
        """Take note that a step begins.

        Args:
            progress: Share of the training that is done, in [0, 1).
        """
        return None

    @abstractmethod
    def __call__(self, net: Net, batch: Batch) -> Mapping[str, Tensor]:
        """Return the terms for a batch."""


class Labels(Objective):
    """The labels alone: how teachers are pretrained.

    Args:
        class_weights: Weight of each class ``[C]``, or None. The loss is the mean over the images,
            each weighed by its class.
        loss: ``cross_entropy``, or ``bce``: the binary cross-entropy of each class against the
            rest, mean over the classes (XKD, eq. 2; DFKD, eq. 1).
    """

    def __init__(
        self,
        class_weights: Tensor | None = None,
        loss: Literal["cross_entropy", "bce"] = "cross_entropy",
    ) -> None:
        self._weights = class_weights
        self._loss = loss

    def __call__(self, net: Net, batch: Batch) -> Mapping[str, Tensor]:
        """Return the one term, named after the loss."""
        logits, labels = look(net, batch.images).logits.float(), batch.labels
        if self._loss == "cross_entropy":
            return {"cross_entropy": F.cross_entropy(logits, labels, self._weights)}
        targets = F.one_hot(labels, logits.shape[1]).float()
        each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)
        if self._weights is None:
            return {"bce": each.mean()}
        weights = self._weights[labels]
        return {"bce": (each * weights).sum() / weights.sum()}


class Taught(Objective):
    """A method, with one look at student and teacher a step.

    Args:
        method: The method.
        teacher: The teacher, live or recorded; None for a method that needs none.
        student: The net that is to be trained.
        sample: Images ``[B, c, H, W]`` of the size to come, on the nets' device, for shapes.
        seed: Seed of the method's own modules.

    Raises:
        ModelError: A net lacks what the method looks at, or their shapes do not fit.
    """

    def __init__(
        self,
        method: DistillationMethod,
        teacher: Teacher | None,
        student: Net,
        sample: Tensor,
        seed: int = 0,
    ) -> None:
        self._method = method
        self._teacher = teacher
        self._wants, theirs = method.wants(student, None if teacher is None else teacher.net)
        if teacher is not None:
            teacher.ask(theirs, method.reduce)
        self.looks_inside = self._wants != Wants()
        self._looks = (self._wants, theirs) != (Wants(), Wants())
        self.adapters = self._made(student, sample, seed)
        self._method.adapted = self.adapters

    def spread(self, world: World) -> None:
        """Average the gradients of the method's own modules over all processes."""
        if self.adapters is not None:
            self._method.adapted = world.wrap(self.adapters)

    def begin(self, progress: float) -> None:
        """Tell the method how far the training is."""
        self._method.begin(progress)

    def __call__(self, net: Net, batch: Batch) -> Mapping[str, Tensor]:
        """Return the method's terms."""
        seen = None if self._teacher is None else self._teacher.look(batch)
        return self._method(look(net, batch.images, self._wants), seen, batch.labels)

    def _made(self, student: Net, sample: Tensor, seed: int) -> nn.Module | None:
        """Return the method's own modules, from a look that leaves the student as it was."""
        if self._teacher is None or not self._looks:
            return None
        teacher = self._teacher.shapes(sample)
        training = student.module.training
        student.module.eval()
        with torch.no_grad():
            seen = look(student, sample, self._wants)
        student.module.train(training)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            made = self._method.adapters(seen, teacher)
        return None if made is None else made.to(sample.device)
