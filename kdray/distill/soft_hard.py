"""Hard and soft labels weighed by alpha, on a grid of alpha and T (transparency paper)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from kdray.distill._method import DistillationMethod
from kdray.distill._terms import label_loss, softened_kl, teacher_logits
from kdray.net import Look
from kdray.spec.strict import Strict
from kdray.spec.terms import Direction, LabelLoss, Normalise

PAPER = (
    "A Knowledge Distillation-Based Approach to Enhance Transparency of Classifier Models, 2025 "
    "(arXiv:2502.15959)"
)
EQUATIONS = (
    "L = alpha L_hard + (1 - alpha) L_soft; L_hard = CE(y, z_s); "
    "L_soft = T^2 KL(softmax(z_t / T) || softmax(z_s / T))"
)
NEEDS: tuple[str, ...] = ("logits",)


class Params(Strict):
    """What weighs what; the searches try the paper's grid."""

    alpha: float = Field(0.7, ge=0, le=1, json_schema_extra={"search": {"choices": [0.4, 0.7]}})
    """Weight of the hard labels; the soft ones have the rest, 1 - alpha."""
    T: float = Field(
        10.0, gt=0, le=100, json_schema_extra={"search": {"choices": [5.0, 10.0, 15.0]}}
    )
    """Temperature of the soft labels."""
    temperature_squared: bool = True
    """Whether the soft term is multiplied by T squared, as Hinton et al. do."""
    labels: LabelLoss = "cross_entropy"
    normalise: Normalise = "batch_mean"
    direction: Direction = "teacher_student"


class Method(DistillationMethod):
    """L = alpha l_HL + (1 - alpha) l_SL, with alpha of 0.4 or 0.7 and T of 5, 10 or 15.

    Differs: the paper prints no T². Without it the gradient of the soft term falls as 1/T² (Hinton
    et al., 2015, section 2), at T = 15 to a two-hundredth, and alpha would no longer say what
    weighs what; so we multiply, and ``temperature_squared: false`` is the printed form. The
    defaults are the best of the paper's grid on brain tumours.

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
        theirs = teacher_logits("soft_hard", teacher)
        soft = softened_kl(
            student.logits, theirs, own.T, normalise=own.normalise, direction=own.direction
        )
        if not own.temperature_squared:
            soft = soft / own.T**2
        return {
            "labels": own.alpha * label_loss(student.logits, labels, own.labels),
            "teacher": (1 - own.alpha) * soft,
        }
