"""What a student learns from: a net that runs in each step, its records, or several of either."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.knowledge.outline import Outline, flatten, unflatten
from kdray.knowledge.reader import Knowledge
from kdray.learn.batches import Batch
from kdray.net import Look, Net, Wants, look

Reduce = Callable[[Look], Look]


class Teacher(ABC):
    """Gives, for a batch, what a method takes of a look at a teacher; without gradients."""

    #: The places that could be looked at; its module is not to be called.
    net: Net

    @abstractmethod
    def ask(self, wants: Wants, reduce: Reduce) -> None:
        """Take note of what is wanted from now on.

        Args:
            wants: What to look at.
            reduce: What the method takes of such a look.

        Raises:
            ModelError: The teacher does not have it.
        """

    @abstractmethod
    def shapes(self, sample: Tensor) -> Look:
        """Return a look whose shapes are right and whose numbers mean nothing.

        Args:
            sample: Images ``[B, c, H, W]`` of the size to come.
        """

    @abstractmethod
    def look(self, batch: Batch) -> Look:
        """Return what is seen of the teacher for a batch, reduced."""


class Live(Teacher):
    """A net that runs in each step, fixed in eval mode.

    Args:
        net: The net, on the device of the batches.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        self._wants = Wants()
        self._reduce: Reduce = _whole
        net.module.eval().requires_grad_(False)

    def ask(self, wants: Wants, reduce: Reduce) -> None:
        """Take note of what is wanted from now on."""
        self._wants, self._reduce = wants, reduce

    def shapes(self, sample: Tensor) -> Look:
        """Return the net's look at the sample."""
        return self._look(sample)

    def look(self, batch: Batch) -> Look:
        """Return the net's look at the images of a batch."""
        return self._look(batch.images)

    def _look(self, images: Tensor) -> Look:
        # In float32 whatever the student's precision is: as it is recorded.
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return self._reduce(look(self.net, images, self._wants))


class Recorded(Teacher):
    """The records of a teacher, whose weights are not needed.

    Args:
        outline: The teacher's places and shapes.
        knowledge: Records with the columns that the method takes.
        device: Device of the batches.
    """

    def __init__(self, outline: Outline, knowledge: Knowledge, device: str = "cpu") -> None:
        self.net = outline.net
        self._outline = outline
        self._knowledge = knowledge
        self._device = device

    def ask(self, wants: Wants, reduce: Reduce) -> None:
        """Check that the records hold what the method takes.

        Raises:
            ModelError: They do not.
        """
        recorded = {column.name for column in self._knowledge.columns}
        for name in flatten(reduce(self._outline.look(wants))):
            if name not in recorded:
                known = ", ".join(sorted(recorded))
                raise ModelError(
                    "teacher", f"its records have no column {name}.", f"They have: {known}."
                )

    def shapes(self, sample: Tensor) -> Look:
        """Return a look of one image, all zeros."""
        columns = {
            column.name: torch.zeros(1, *column.shape, device=sample.device)
            for column in self._knowledge.columns
        }
        return unflatten(columns, self._outline.size)

    def look(self, batch: Batch) -> Look:
        """Return what was recorded of the views of a batch."""
        columns = self._knowledge.gather(batch.places, batch.views, self._device)
        return unflatten(columns, self._outline.size)


class Mean(Teacher):
    """An ensemble: the mean of the teachers' logits, for methods that take nothing else.

    Args:
        teachers: The teachers, two or more.
    """

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self.net = Net(nn.Identity())
        self._teachers = tuple(teachers)
        self._reduce: Reduce = _whole

    def ask(self, wants: Wants, reduce: Reduce) -> None:
        """Take note of what is wanted from now on.

        Raises:
            ModelError: More than logits is wanted.
        """
        if wants != Wants():
            raise ModelError(
                "ensemble", "has logits alone.", "Choose a method of logits, or one teacher."
            )
        self._reduce = reduce
        for teacher in self._teachers:
            teacher.ask(Wants(), _whole)

    def shapes(self, sample: Tensor) -> Look:
        """Return the shapes of the first teacher: all have the same classes."""
        return self._teachers[0].shapes(sample)

    def look(self, batch: Batch) -> Look:
        """Return the mean of the teachers' logits."""
        seen = [teacher.look(batch) for teacher in self._teachers]
        logits = torch.stack([one.logits.float() for one in seen]).mean(dim=0)
        return self._reduce(Look(logits, size=seen[0].size))


def _whole(seen: Look) -> Look:
    return seen
