"""Cross-entropy with the labels only: the student without a teacher."""

from __future__ import annotations

from torch import Tensor

from kdray.distill._method import DistillationMethod
from kdray.distill._terms import label_loss
from kdray.net import Look
from kdray.spec.strict import Strict
from kdray.spec.terms import LabelLoss

PAPER = "The baseline of every comparison"
EQUATIONS = "L = CE(y, z_s) = -log softmax(z_s)_y, mean over the batch"
NEEDS: tuple[str, ...] = ()


class Params(Strict):
    """What the labels ask for."""

    labels: LabelLoss = "cross_entropy"


class Method(DistillationMethod):
    """The loss of the labels.

    Args:
        params: Its form.
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
        return {"labels": label_loss(student.logits, labels, self.params.labels)}
