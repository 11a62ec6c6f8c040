"""What every method may say besides its loss: what it looks at, what it trains, how far it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.net import Look, Net, Wants

#: A teacher: the net, or what is seen of it.
Teaching = TypeVar("Teaching", Net, Look)


class DistillationMethod(ABC):
    """How a student learns from a teacher; the defaults are those of a method on logits.

    The trainer asks ``wants`` and ``adapters`` once, calls ``begin`` before each step and the
    method itself at each step, with one look at each net.
    """

    #: What ``adapters`` returned, as it is to be called: the trainer sets it, and wraps it where
    #: several processes train together.
    adapted: nn.Module | None = None

    def wants(self, student: Net, teacher: Net | None) -> tuple[Wants, Wants]:
        """Return what to look at in the student and in the teacher, besides their logits.

        Args:
            student: The net that learns.
            teacher: The net that teaches, or None.

        Raises:
            ModelError: One of them lacks what the method looks at.
        """
        return Wants(), Wants()

    def adapters(self, student: Look, teacher: Look) -> nn.Module | None:
        """Return modules that are trained with the student and thrown away with the teacher.

        Args:
            student: A look at the student, for its shapes.
            teacher: A look at the teacher, for its shapes.

        Raises:
            ModelError: The shapes do not fit each other.
        """
        return None

    def reduce(self, teacher: Look) -> Look:
        """Return what of a look at the teacher the loss takes: what is recorded of it.

        Logits stay as they are; maps may become smaller ones. The trainer calls this on every
        look at a teacher, live or to be recorded, and hands the method what it returns. It must
        not depend on settings that a search changes, or a record could serve one trial only.

        Args:
            teacher: A look with what ``wants`` names, without gradients.

        Returns:
            The look with other maps, each ``[B, D, h, w]`` of floats or booleans.
        """
        return teacher

    def begin(self, progress: float) -> None:
        """Take note that a step begins.

        Args:
            progress: Share of the training that is done, in [0, 1); the same after a restart.
        """
        return None

    @abstractmethod
    def __call__(self, student: Look, teacher: Look | None, labels: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms, scalars; the loss is their sum.

        Args:
            student: What is seen of the student, with gradients.
            teacher: What is seen of the teacher for the same views; it gets no gradient.
            labels: Class indices ``[B]``.

        Raises:
            ModelError: The method needs a teacher, and there is none.
        """


def need_taps(method: str, role: str, net: Net | None, names: Sequence[str]) -> Net:
    """Return a net that has all the taps.

    Args:
        method: Name of the method, for the error.
        role: ``student`` or ``teacher``, for the error.
        net: The net; None where there is no teacher.
        names: The taps.

    Raises:
        ModelError: There is no net, or it lacks a tap.
    """
    net = need_teacher(method, net)
    missing = [name for name in names if name not in net.taps]
    if missing:
        raise ModelError(
            f"method {method}",
            f"the {role} has no map called {missing[0]}.",
            f"Choose one with {', '.join(names)}; it has: {', '.join(net.taps) or 'none'}.",
        )
    return net


def need_teacher(method: str, teacher: Teaching | None) -> Teaching:
    """Return the teacher, or what is seen of it.

    Args:
        method: Name of the method, for the error.
        teacher: The net that teaches, or a look at it; None where there is none.

    Raises:
        ModelError: There is none.
    """
    if teacher is None:
        raise ModelError(
            f"method {method}", "needs a teacher.", "Use the method none without one."
        )
    return teacher
