"""Cross-entropy with the labels only: the student without a teacher."""

from __future__ import annotations

from torch import Tensor

from kdray.distill._method import DistillationMethod
from kdray.distill._terms import cross_entropy
from kdray.net import Look
from kdray.spec.strict import Strict

PAPER = "The baseline of every comparison"
EQUATIONS = "L = CE(y, z_s) = -log softmax(z_s)_y, mean over the batch"
NEEDS: tuple[str, ...] = ()


class Params(Strict):
    """Nothing to set."""


class Method(DistillationMethod):
    """Cross-entropy with the labels.

    Args:
        params: Nothing.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def __call__(self, student: Look, teacher: Look | None, labels: Tensor) -> dict[str, Tensor]:
        """Return the term ``labels``.

        Args:
            student: Logits ``[B, C]``.
            teacher: Not looked at.
            labels: Class indices ``[B]``.
        """
        return {"labels": cross_entropy(student.logits, labels)}
