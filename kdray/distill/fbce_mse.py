"""Focal binary cross-entropy with labels and squared distance of softened sigmoids (XKD)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from kdray.distill._method import DistillationMethod
from kdray.distill._terms import focal_bce, one_hot, softened_mse, teacher_logits
from kdray.net import Look
from kdray.spec.strict import Strict

PAPER = (
    "Mir and Rizvi, Explainable Knowledge Distillation for Efficient Medical Image "
    "Classification, eq. 4-6 and algorithm 1"
)
EQUATIONS = (
    "L = alpha FBCE(p_s, y) + (1 - alpha) MSE; "
    "FBCE = -(1 - p_s)^gamma log p_s where y = 1, -p_s^gamma log(1 - p_s) where y = 0; "
    "MSE = T^2 / n sum_i (sigmoid(z_s,i / T) - sigmoid(z_t,i / T))^2"
)
NEEDS: tuple[str, ...] = ("logits",)


class Params(Strict):
    """What weighs what."""

    alpha: float = Field(0.5, ge=0, le=1, json_schema_extra={"search": {"min": 0.1, "max": 0.9}})
    """Weight of the labels; the teacher has the rest, 1 - alpha."""
    T: float = Field(
        4.0, gt=0, le=100, json_schema_extra={"search": {"min": 1.0, "max": 10.0, "log": True}}
    )
    """Temperature of the sigmoids."""
    gamma: float = Field(2.0, ge=0, le=10, json_schema_extra={"search": {"min": 0.0, "max": 3.0}})
    """Focus on labels that are still wrong; 0 gives the plain binary cross-entropy."""


class Method(DistillationMethod):
    """L = alpha L_FBCE(p_s, y) + (1 - alpha) L_MSE(p_s, p_t) (Mir and Rizvi, eq. 6).

    Every class is a label of its own: the target of an image is 1 at its class and 0 elsewhere.

    Differs: eq. 4 is the loss of one label and leaves open how labels are put together; we take
    the mean over the n labels, as the 1/n of eq. 5 does, and the mean over the batch for both. The
    paper prints values for neither ``T`` nor ``gamma``; their defaults are ours.

    Args:
        params: alpha, T and gamma.
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
        alpha = self.params.alpha
        theirs = teacher_logits("fbce_mse", teacher)
        targets = one_hot(labels, student.logits)
        return {
            "labels": alpha * focal_bce(student.logits, targets, self.params.gamma),
            "teacher": (1 - alpha) * softened_mse(student.logits, theirs, self.params.T),
        }
