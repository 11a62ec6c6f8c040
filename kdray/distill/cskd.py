"""Logits of each place beside class and distillation heads, for transformers (CSKD)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdray.distill._method import DistillationMethod, need_teacher
from kdray.distill._terms import cross_entropy, exact, label_loss, softened_kl
from kdray.errors import ModelError
from kdray.net import Look, Net, Wants
from kdray.spec.strict import Strict
from kdray.spec.terms import LabelLoss, Normalise

PAPER = (
    "Zhao et al., Cumulative Spatial Knowledge Distillation for Vision Transformers, ICCV 2023 "
    "(arXiv:2307.08500); the loss of the heads: Touvron et al., Training data-efficient image "
    "transformers & distillation through attention, 2021 (arXiv:2012.12877)"
)
EQUATIONS = (
    "L = (1 - alpha) CE(z_class, y) + alpha D(z_distil, z_t) + w mean_p D(pool(d_s)_p, "
    "m d_t,p + (1 - m) z_t), m = 1 - progress; D(z, t) = CE(z, argmax t), or "
    "T^2 KL(softmax(t / T) || softmax(z / T))"
)
NEEDS: tuple[str, ...] = ("logits", "dense logits")
STUDENT_NEEDS: tuple[str, ...] = ("dense logits", "heads class and distillation, if it has them")


class Params(Strict):
    """What weighs what."""

    alpha: float = Field(0.5, ge=0, le=1, json_schema_extra={"search": {"min": 0.1, "max": 0.9}})
    """Weight of the teacher's logits; the labels have the rest, 1 - alpha."""
    spatial_weight: float = Field(
        1.0, ge=0, json_schema_extra={"search": {"min": 0.1, "max": 10.0, "log": True}}
    )
    """Weight of the logits of each place."""
    distillation: Literal["hard", "soft"] = "hard"
    """`hard`: cross-entropy with the teacher's largest logit; `soft`: KL at temperature T."""
    T: float = Field(1.0, gt=0, le=100)
    """Temperature of the soft form."""
    labels: LabelLoss = "cross_entropy"
    normalise: Normalise = "batch_mean"


class Method(DistillationMethod):
    """L = (1 - alpha) L_CE + alpha L_DeiT + w L_CSKD, with the defaults of the authors' settings.

    The student's places are classified by its own classifier, averaged onto the teacher's grid,
    and taught the teacher's logits of the same place, blended with its logits of the whole image:
    at first only the former, in the end only the latter, linearly in the training's progress.

    Differs: the progress counts steps where the authors count epochs. A student without a
    distillation head learns both at its logits. The authors classify the patches with the
    distillation head, and average three outputs at inference; we use the net's ``classifier`` and
    leave inference as the network has it. Their soft form sums over the places and divides the
    loss of the heads by batch times classes; ours is the mean over the places, as their hard form
    is, and ``normalise`` holds for both terms.

    Args:
        params: Weights, and the form of the terms.
    """

    def __init__(self, params: Params) -> None:
        self.params = params
        self._own = 1.0

    def wants(self, student: Net, teacher: Net | None) -> tuple[Wants, Wants]:
        """Return the logits of each place of both, and the student's heads.

        Raises:
            ModelError: A net cannot classify single places.
        """
        for role, net in (("teacher", need_teacher("cskd", teacher)), ("student", student)):
            if not net.classifier or "final" not in net.taps:
                raise ModelError(
                    "method cskd",
                    f"the {role} cannot classify single places: its classifier does not take the "
                    "mean of its last map.",
                    "Choose a teacher such as a RegNet or a ResNet, a student such as a DeiT.",
                )
        heads = ("class", "distillation")
        held = heads if set(heads) <= set(student.heads) else ()
        return Wants(heads=held, dense=True), Wants(dense=True)

    def begin(self, progress: float) -> None:
        """Weigh the logits of the places by the share of the training that is left."""
        self._own = 1 - progress

    def __call__(self, student: Look, teacher: Look | None, labels: Tensor) -> dict[str, Tensor]:
        """Return the terms ``labels``, ``teacher`` and ``spatial``, weighted.

        Args:
            student: Logits and heads ``[B, C]``, dense logits ``[B, C, h, w]``.
            teacher: Logits ``[B, C]``, dense logits ``[B, C, h', w']``; they get no gradient.
            labels: Class indices ``[B]``.

        Raises:
            ModelError: There is no teacher.
        """
        seen = need_teacher("cskd", teacher)
        whole = exact(seen.logits.detach())
        for_labels = student.heads.get("class", student.logits)
        for_teacher = student.heads.get("distillation", student.logits)
        hard = label_loss(for_labels, labels, self.params.labels)
        return {
            "labels": (1 - self.params.alpha) * hard,
            "teacher": self.params.alpha * self._distance(for_teacher, whole),
            "spatial": self.params.spatial_weight * self._spatial(student, seen, whole),
        }

    def _spatial(self, student: Look, teacher: Look, whole: Tensor) -> Tensor:
        """Return the distance of the logits of each place, mean over the places."""
        if student.dense is None or teacher.dense is None:
            raise RuntimeError("the trainer looks at the dense logits that `wants` names")
        theirs = exact(teacher.dense.detach())
        blended = self._own * theirs + (1 - self._own) * whole[:, :, None, None]
        ours = F.adaptive_avg_pool2d(exact(student.dense), (theirs.shape[2], theirs.shape[3]))
        return self._distance(_places(ours), _places(blended))

    def _distance(self, ours: Tensor, theirs: Tensor) -> Tensor:
        own = self.params
        if own.distillation == "hard":
            return cross_entropy(ours, theirs.argmax(dim=1))
        return softened_kl(ours, theirs, own.T, normalise=own.normalise)


def _places(dense: Tensor) -> Tensor:
    """Return ``[B, C, h, w]`` as one row a place, ``[B h w, C]``."""
    return dense.movedim(1, -1).flatten(0, -2)
