"""Feature maps through 1x1 adapters beside soft targets and labels (intermediate KD)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdray.distill._method import DistillationMethod, need_teacher
from kdray.distill._terms import exact, label_loss, map_distance, softened_kl
from kdray.errors import ModelError
from kdray.net import Look, Net, Wants
from kdray.spec.strict import Strict
from kdray.spec.terms import Direction, LabelLoss, Normalise

PAPER = (
    "Song et al., Medical image classification: Knowledge transfer via residual U-Net and vision "
    "transformer-based teacher-student model with knowledge distillation, 2024; the baseline I-KD "
    "of DFKD, table 1; adapters: Romero et al., FitNets, 2015 (arXiv:1412.6550)"
)
EQUATIONS = (
    "L = alpha CE(y, z_s) + (1 - alpha) T^2 KL(softmax(z_t / T) || softmax(z_s / T)) "
    "+ w / J sum_j mean (F_t,j - A_j(F_s,j))^2, A_j a 1x1 convolution"
)
NEEDS: tuple[str, ...] = ("logits", "at least one stage")
STUDENT_NEEDS: tuple[str, ...] = ("at least one stage",)


class Params(Strict):
    """What weighs what."""

    alpha: float = Field(0.5, ge=0, le=1, json_schema_extra={"search": {"min": 0.1, "max": 0.9}})
    """Weight of the labels; the teacher's logits have the rest, 1 - alpha."""
    T: float = Field(
        4.0, gt=0, le=100, json_schema_extra={"search": {"min": 1.0, "max": 10.0, "log": True}}
    )
    """Temperature of the softmax."""
    feature_weight: float = Field(
        1.0, ge=0, json_schema_extra={"search": {"min": 0.1, "max": 10.0, "log": True}}
    )
    """Weight of the maps."""
    stages: int = Field(3, ge=1)
    """At most so many stages are compared, counted from the last, as both networks have."""
    labels: LabelLoss = "cross_entropy"
    normalise: Normalise = "batch_mean"
    direction: Direction = "teacher_student"


class Method(DistillationMethod):
    """L = alpha L_CE + (1 - alpha) L_KL + w L_features, the baseline I-KD of DFKD's table 1.

    Each of the student's last stages passes a 1x1 convolution of its own to the teacher's
    channels. The convolutions are trained with the student and not published with it.

    Differs: DFKD says of I-KD only that it "additionally distills intermediate feature
    representations" and prints neither loss nor settings. Ours are: stages paired from the last
    backwards, because networks differ in how many they have; both maps averaged onto the smaller
    of their two grids, so that nothing is invented between places; the mean squared distance of
    FitNets; and all defaults.

    Args:
        params: Weights, temperature, stages, and the form of the terms.
    """

    def __init__(self, params: Params) -> None:
        self.params = params
        self._pairs: tuple[tuple[str, str], ...] = ()

    def wants(self, student: Net, teacher: Net | None) -> tuple[Wants, Wants]:
        """Return the last stages that both have.

        Raises:
            ModelError: A net has no stages.
        """
        ours = _stages("student", student)
        theirs = _stages("teacher", need_teacher("ikd", teacher))
        count = min(len(ours), len(theirs), self.params.stages)
        self._pairs = tuple(zip(ours[-count:], theirs[-count:], strict=True))
        return Wants(tuple(ours[-count:])), Wants(tuple(theirs[-count:]))

    def adapters(self, student: Look, teacher: Look) -> nn.Module:
        """Return a 1x1 convolution for each pair of stages, to the teacher's channels."""
        channels = [
            (student.maps[ours].shape[1], teacher.maps[theirs].shape[1])
            for ours, theirs in self._pairs
        ]
        return Adapters(channels)

    def __call__(self, student: Look, teacher: Look | None, labels: Tensor) -> dict[str, Tensor]:
        """Return the terms ``labels``, ``teacher`` and ``features``, weighted.

        Args:
            student: Logits ``[B, C]`` and maps ``[B, D, h, w]`` of its stages.
            teacher: Logits ``[B, C]`` and maps of its stages; they get no gradient.
            labels: Class indices ``[B]``.

        Raises:
            ModelError: There is no teacher.
        """
        own = self.params
        seen = need_teacher("ikd", teacher)
        soft = softened_kl(
            student.logits,
            seen.logits.detach(),
            own.T,
            normalise=own.normalise,
            direction=own.direction,
        )
        return {
            "labels": own.alpha * label_loss(student.logits, labels, own.labels),
            "teacher": (1 - own.alpha) * soft,
            "features": own.feature_weight * self._features(student, seen),
        }

    def _features(self, student: Look, teacher: Look) -> Tensor:
        """Return the mean over the stages of the squared distance of their maps."""
        if self.adapted is None:
            raise RuntimeError("the trainer sets `adapted` before the first step")
        ours, theirs = [], []
        for mine, other in self._pairs:
            maps, target = student.maps[mine], exact(teacher.maps[other].detach())
            grid = (min(maps.shape[2], target.shape[2]), min(maps.shape[3], target.shape[3]))
            ours.append(F.adaptive_avg_pool2d(maps, grid))
            theirs.append(F.adaptive_avg_pool2d(target, grid))
        adapted = self.adapted(ours)
        return torch.stack(
            [map_distance(*pair) for pair in zip(adapted, theirs, strict=True)]
        ).mean()


class Adapters(nn.Module):
    """A 1x1 convolution for each stage.

    Args:
        channels: Channels in and out, of each stage.
    """

    def __init__(self, channels: list[tuple[int, int]]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Conv2d(ours, theirs, 1) for ours, theirs in channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Return each map ``[B, D, h, w]`` with the channels of the teacher's."""
        return [stage(one) for stage, one in zip(self.stages, maps, strict=True)]


def _stages(role: str, net: Net) -> list[str]:
    """Return the names of a net's stages, shallow to deep."""
    stages = [name for name in net.taps if name.startswith("stage")]
    if not stages:
        raise ModelError(
            "method ikd", f"the {role} has no stages to compare.", "Choose a model with stages."
        )
    return stages
