"""Maps of three shared stages, a distillation token and labels (HDKD)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from kdray.distill._method import DistillationMethod, need_taps, need_teacher
from kdray.distill._terms import label_loss, map_distance, softened_kl
from kdray.errors import ModelError
from kdray.net import Look, Net, Wants
from kdray.spec.strict import Strict
from kdray.spec.terms import Direction, LabelLoss, Normalise

PAPER = (
    "HDKD: Hybrid Data-Efficient Knowledge Distillation Network for Medical Image Classification, "
    "eq. 6-8"
)
EQUATIONS = (
    "L = (1 - alpha) CE(z_class, y) + alpha T^2 KL(softmax(z_t / T) || softmax(z_distil / T)) "
    "+ lambda sum_j j^exponent mean (F_t,j - F_s,j)^2, j = 1, 2, 3"
)
NEEDS: tuple[str, ...] = ("logits", "stage1", "stage2", "stage3")
STUDENT_NEEDS: tuple[str, ...] = (
    "stage1",
    "stage2",
    "stage3",
    "heads class and distillation, if it has them",
)
STAGES = ("stage1", "stage2", "stage3")


class Params(Strict):
    """What weighs what."""

    alpha: float = Field(0.5, ge=0, le=1, json_schema_extra={"search": {"min": 0.1, "max": 0.9}})
    """Weight of the teacher's logits; the labels have the rest, 1 - alpha."""
    T: float = Field(
        1.0, gt=0, le=100, json_schema_extra={"search": {"min": 1.0, "max": 10.0, "log": True}}
    )
    """Temperature of the softmax (t of eq. 6)."""
    feature_weight: float = Field(
        10.0, ge=0, json_schema_extra={"search": {"min": 1.0, "max": 100.0, "log": True}}
    )
    """Weight of the maps (lambda of eq. 8)."""
    exponent: float = Field(1.0, ge=0, le=10)
    """Stage j weighs j to this power (alpha of eq. 7): later stages more."""
    which: Literal["heads", "mean"] = "heads"
    """Labels at the class head and teacher at the distillation head, or both at their mean."""
    labels: LabelLoss = "cross_entropy"
    normalise: Normalise = "batch_mean"
    direction: Direction = "teacher_student"


class Method(DistillationMethod):
    """L = l_cls + lambda l_feat (eq. 8), from one pass of each network.

    l_cls is eq. 6, l_feat eq. 7 over the three stages that teacher and student share. The maps are
    compared as they are, without adapters.

    Differs: eq. 6 puts one z_s in both terms (``which: mean``); the authors' code teaches the
    labels to the class head and the teacher's logits to the distillation head, as DeiT does, and
    so do we by default. A student without heads learns both at its logits. Their code divides the
    KL by batch times classes (``normalise: batch_times_classes``), of which eq. 6 says nothing. It
    also runs the first stages again for each map, so that batch-norm statistics move up to four
    times a step; the maps of one pass give the same loss, and the statistics move once.

    Args:
        params: Weights, temperature, and the form of the terms.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def wants(self, student: Net, teacher: Net | None) -> tuple[Wants, Wants]:
        """Return the three stages of both, and the student's heads.

        Raises:
            ModelError: A net has no three stages.
        """
        need_taps("hdkd", "student", student, STAGES)
        need_taps("hdkd", "teacher", teacher, STAGES)
        apart = self.params.which == "heads" and {"class", "distillation"} <= set(student.heads)
        heads = ("class", "distillation") if apart else ()
        return Wants(STAGES, heads), Wants(STAGES)

    def adapters(self, student: Look, teacher: Look) -> nn.Module | None:
        """Return nothing: the maps are compared as they are.

        Raises:
            ModelError: The maps of a stage differ in shape.
        """
        for stage in STAGES:
            ours, theirs = student.maps[stage].shape[1:], teacher.maps[stage].shape[1:]
            if ours != theirs:
                raise ModelError(
                    "method hdkd",
                    f"{stage} of the student is {_shape(ours)}, of the teacher {_shape(theirs)}: "
                    "they must be equal.",
                    "Choose a pair made for each other, or the method ikd, which adapts them.",
                )
        return None

    def __call__(self, student: Look, teacher: Look | None, labels: Tensor) -> dict[str, Tensor]:
        """Return the terms ``labels``, ``teacher`` and ``features``, weighted.

        Args:
            student: Logits ``[B, C]``, maps ``[B, D, h, w]`` of three stages, heads ``[B, C]``.
            teacher: Logits ``[B, C]`` and maps of the same shapes; they get no gradient.
            labels: Class indices ``[B]``.

        Raises:
            ModelError: There is no teacher.
        """
        own = self.params
        seen = need_teacher("hdkd", teacher)
        for_labels = student.heads.get("class", student.logits)
        for_teacher = student.heads.get("distillation", student.logits)
        soft = softened_kl(
            for_teacher,
            seen.logits.detach(),
            own.T,
            normalise=own.normalise,
            direction=own.direction,
        )
        return {
            "labels": (1 - own.alpha) * label_loss(for_labels, labels, own.labels),
            "teacher": own.alpha * soft,
            "features": own.feature_weight * _features(student, seen, own.exponent),
        }


def _features(student: Look, teacher: Look, exponent: float) -> Tensor:
    """Return the weighted sum over the stages of the mean squared distance of their maps."""
    apart = [
        map_distance(student.maps[stage], teacher.maps[stage]) * number**exponent
        for number, stage in enumerate(STAGES, start=1)
    ]
    return torch.stack(apart).sum()


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)
