"""Saliency of early and late features beside soft targets and labels (DFKD)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from kdray.distill._method import DistillationMethod, need_teacher
from kdray.distill._terms import label_loss, softened_kl
from kdray.net import Look, Net, Wants
from kdray.saliency import (
    Masking,
    reduced,
    reduced_to_bits,
    saliency,
    saliency_wants,
)
from kdray.spec.strict import Strict
from kdray.spec.terms import Direction, LabelLoss, Normalise

PAPER = (
    "Explainable Dual-Feature Knowledge Distillation for Efficient Autism Spectrum Disorder "
    "Classification Using fMRI Data, eq. 1-7"
)
EQUATIONS = (
    "L = alpha L_sal + beta L_soft + (1 - alpha - beta) L_cls; "
    "L_sal = mean_i ||G_t(x_i) - G_s(x_i)||^2; G = eta R_early + (1 - eta) R_late; "
    "R = 1 where max_d H > mu + kappa sigma, soft: sigmoid((max_d H - mu - kappa sigma) / "
    "(tau sigma)); L_soft = T^2 KL(softmax(z_s / T) || softmax(z_t / T)); L_cls = CE(z_s, y)"
)
NEEDS: tuple[str, ...] = ("logits", "texture and shape, or attention")
STUDENT_NEEDS: tuple[str, ...] = ("texture and shape, or attention",)


class Params(Strict):
    """What weighs what, and what counts as salient."""

    alpha: float = Field(0.4, ge=0, le=1, json_schema_extra={"search": {"min": 0.1, "max": 0.5}})
    """Weight of the saliency."""
    beta: float = Field(
        0.3,
        ge=0,
        le=1,
        validate_default=True,
        json_schema_extra={"search": {"min": 0.1, "max": 0.4}},
    )
    """Weight of the teacher's logits; the labels have the rest, 1 - alpha - beta."""
    T: float = Field(
        6.0, gt=0, le=100, json_schema_extra={"search": {"min": 1.0, "max": 10.0, "log": True}}
    )
    """Temperature of the softmax."""
    kappa: float = Field(
        3.0,
        ge=-10,
        le=100,
        json_schema_extra={"search": {"min": 1, "max": 5}, "fixed_by": {"record": "bits"}},
    )
    """Standard deviations above the mean from which a place of a feature map counts."""
    kappa_attention: float = Field(0.5, ge=-10, le=100)
    """The same for the attention of transformers, which has one channel."""
    eta: float = Field(0.5, ge=0, le=1, json_schema_extra={"search": {"min": 0.1, "max": 0.9}})
    """Weight of the early mask (texture); the late one (shape) has the rest."""
    mask: Literal["soft", "hard", "straight_through"] = "soft"
    """`hard` is the paper's threshold, which has no gradient: its term is only reported."""
    record: Literal["values", "bits"] = "values"
    """What is recorded of the teacher: `values` leave every setting free; `bits` are its masks
    for one kappa, a sixteenth of the size, for `hard` and `straight_through`."""
    tau: float = Field(1.0, gt=0, le=100)
    """Width of the soft threshold, in standard deviations."""
    saliency_norm: Literal["mean", "sum"] = "mean"
    """Squared differences of saliency over the grid: their mean, or their sum as printed."""
    grid: int | None = Field(None, ge=1)
    """Side of the grid on which saliency is compared; null: a quarter of the image's side."""
    labels: LabelLoss = "cross_entropy"
    normalise: Normalise = "batch_mean"
    direction: Direction = "student_teacher"

    @field_validator("beta")
    @classmethod
    def _leaves_room(cls, beta: float, info: ValidationInfo) -> float:
        alpha = info.data.get("alpha", 0.0)
        if alpha + beta > 1 + 1e-9:
            raise ValueError(
                f"alpha + beta is {alpha + beta:g}: above 1, nothing is left to labels"
            )
        return beta

    @field_validator("record")
    @classmethod
    def _has_bits(cls, record: str, info: ValidationInfo) -> str:
        if record == "bits" and info.data.get("mask") == "soft":
            raise ValueError("soft masks are no bits: use values, or mask hard")
        return record


class Method(DistillationMethod):
    """L = alpha L_sal + beta L_soft + (1 - alpha - beta) L_cls (eq. 7).

    The saliency G (eq. 2-4) comes from the taps ``texture`` (first block) and ``shape`` (last
    map), mu and sigma of each image over places and channels; for transformers from the mean
    attention of the first and of the last third of the blocks. alpha, beta and T are the paper's.

    Differs: the mask of eq. 2 is a step: its gradient is 0 and L_sal trains nothing. The default
    ``mask: soft`` puts a sigmoid of width tau sigma in its place, in teacher and student, so that
    equal networks have no distance; ``hard`` is the printed form, ``straight_through`` has hard
    values and the soft gradient. The paper prints neither kappa nor eta. With 3 sigma a tenth to
    a third of the places of early maps and half to nine tenths of those of late maps count
    (ResNets, MobileNetV3 and GhostNet, briefly trained on brain MRI at 96 px); 1 sigma marks all
    of a late map, for the largest of a thousand channels is nearly always that high. Attention
    has a single channel, hence a kappa of its own; it passes the same threshold, so that 1 means
    salient in both networks. Masks differ in size and the paper names no common grid: we take a
    quarter of the image's side, 56 at 224. ``saliency_norm: sum`` is the norm as printed; it grows
    with the grid, up to 3136 at 56 x 56 where a cross-entropy is about 1, so the mean is the
    default. Eq. 5 prints KL(student || teacher), the reverse of Hinton et al. whom it cites; we
    keep it. Eq. 1 is the binary cross-entropy of one logit; with two logits that is the
    cross-entropy of their softmax.

    Args:
        params: Weights, temperature, threshold, and the form of the terms.
    """

    def __init__(self, params: Params) -> None:
        self.params = params
        grid = None if params.grid is None else (params.grid, params.grid)
        self._masking = Masking(
            params.kappa, params.kappa_attention, params.eta, params.tau, params.mask, grid
        )

    def wants(self, student: Net, teacher: Net | None) -> tuple[Wants, Wants]:
        """Return texture and shape, or the attention, of both.

        Raises:
            ModelError: A net has neither.
        """
        theirs = saliency_wants(need_teacher("dfkd", teacher), "method dfkd: the teacher")
        return saliency_wants(student, "method dfkd: the student"), theirs

    def reduce(self, teacher: Look) -> Look:
        """Return the largest values of the maps with their moments, or the masks as bits."""
        if self.params.record == "bits":
            return reduced_to_bits(teacher, self._masking)
        return reduced(teacher)

    def __call__(self, student: Look, teacher: Look | None, labels: Tensor) -> dict[str, Tensor]:
        """Return the terms ``labels``, ``teacher`` and ``saliency``, weighted.

        Args:
            student: Logits ``[B, C]``, and maps ``[B, D, h, w]`` or attention ``[B, h, w]``.
            teacher: The same of the teacher, or what ``reduce`` makes of it; it gets no gradient.
            labels: Class indices ``[B]``.

        Raises:
            ModelError: There is no teacher.
        """
        own = self.params
        seen = need_teacher("dfkd", teacher)
        apart = saliency(student, self._masking) - saliency(seen, self._masking).detach()
        squared = apart.square().flatten(1)
        distance = squared.mean(1) if own.saliency_norm == "mean" else squared.sum(1)
        soft = softened_kl(
            student.logits,
            seen.logits.detach(),
            own.T,
            normalise=own.normalise,
            direction=own.direction,
        )
        rest = max(0.0, 1 - own.alpha - own.beta)
        return {
            "labels": rest * label_loss(student.logits, labels, own.labels),
            "teacher": own.beta * soft,
            "saliency": own.alpha * distance.mean(),
        }
