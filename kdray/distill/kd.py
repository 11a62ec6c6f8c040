"""Soft targets: cross-entropy with labels and temperature-scaled KL (Hinton et al., 2015)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from kdray.distill._method import DistillationMethod
from kdray.distill._terms import label_loss, softened_kl, teacher_logits
from kdray.net import Look
from kdray.spec.strict import Strict
from kdray.spec.terms import Direction, LabelLoss, Normalise

PAPER = (
    "Hinton et al., Distilling the Knowledge in a Neural Network, 2015 (arXiv:1503.02531); as "
    "eq. 1 of Mir and Rizvi, Explainable Knowledge Distillation for Efficient Medical Image "
    "Classification"
)
EQUATIONS = "L = alpha CE(y, z_s) + (1 - alpha) T^2 KL(softmax(z_t / T) || softmax(z_s / T))"
NEEDS: tuple[str, ...] = ("logits",)


class Params(Strict):
    """What weighs what."""

    alpha: float = Field(0.5, ge=0, le=1, json_schema_extra={"search": {"min": 0.1, "max": 0.9}})
    """Weight of the labels; the teacher has the rest, 1 - alpha."""
    T: float = Field(
        4.0, gt=0, le=100, json_schema_extra={"search": {"min": 1.0, "max": 10.0, "log": True}}
    )
    """Temperature: higher shows more of the teacher's order among the wrong classes."""
    labels: LabelLoss = "cross_entropy"
    normalise: Normalise = "batch_mean"
    direction: Direction = "teacher_student"


class Method(DistillationMethod):
    """L = alpha CE(y, z_s) + (1 - alpha) KL(soft(z_t) || soft(z_s)) (Mir and Rizvi, eq. 1).

    Differs: eq. 1 prints no temperature. ``soft`` is the softmax at ``T``, and the KL is
    multiplied by T², as Hinton et al. do, so that alpha weighs the same at every ``T``. The
    divergence is from teacher to student, summed over classes, mean over the batch. Eq. 1 writes
    CE where the text beside it says binary cross-entropy; ``labels: bce`` is the latter.

    Args:
        params: Weights, temperature, and the form of both terms.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def __call__(self, student: Look, teacher: Look | None, labels: Tensor) -> dict[str, Tensor]:
        """Return the terms ``labels`` and ``teacher``, weighted.

        Args:
            student: Logits ``[B, C]``.
            teacher: Logits ``[B, C]``; they get no gradient.
            labels: Class indices ``[B]``.

        Raises:
            ModelError: There is no teacher.
        """
        own = self.params
        theirs = teacher_logits("kd", teacher)
        soft = softened_kl(
            student.logits, theirs, own.T, normalise=own.normalise, direction=own.direction
        )
        return {
            "labels": own.alpha * label_loss(student.logits, labels, own.labels),
            "teacher": (1 - own.alpha) * soft,
        }
