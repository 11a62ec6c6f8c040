"""SHAP: what each part of the image adds to the score of the class (Lundberg and Lee, 2017).

arXiv:1705.07874. ``gradient`` is captum's GradientShap, the expected gradients: the mean of
(x - b) * d score / dx at points b + u (x - b), u in (0, 1), summed over the colours. ``kernel`` is
captum's KernelShap on parts of the image: Shapley values of superpixels by regression on images
with parts hidden behind the baseline b. The same forward passes serve all classes, and the same
image has the same map each time, whatever is in its batch.

Differs: captum asks for every class anew and makes each changed image by itself; here all classes
share them. u is drawn once from each of ``samples`` equal parts of (0, 1) and coalitions together
with their complements, which both take less noise than captum's independent draws; no noise is
added to the image. The regression meets both its constraints exactly instead of by a weight of a
million. The map shows the positive part (`sign`), as class activation maps do.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from kdray.explain._hidden import baseline_of, logits_behind, scores_of
from kdray.explain._subject import Subject, batch_of, numbers
from kdray.explain._superpixels import superpixels
from kdray.maps import Raw
from kdray.maps.hiding import beyond_rounding, nothing_speaks, signed
from kdray.spec.strict import Strict
from kdray.spec.terms import Baseline, Score, Sign

#: Whether the map of a class differs from that of another.
CLASSWISE = True
#: What an image costs, whatever the number of classes unless they are named.
COST = "gradient: 20 forwards, 20 backwards a class; kernel: 202 forwards"
PRESETS = {
    "gradient-shap": {"params": {"method": "gradient"}},
    "kernel-shap": {"params": {"method": "kernel"}},
}
REASON = "the map is blank: no part of the image speaks for this class."
#: Of the images that a forward pass takes, those that one with a backward pass takes.
KEPT_FOR_GRADIENTS = 4


class Params(Strict):
    """How the values are estimated, and of which parts."""

    method: Literal["gradient", "kernel"] = "gradient"
    """`gradient`: of each pixel, by gradients; `kernel`: of each superpixel, by hiding some."""
    samples: int = Field(20, ge=1, le=10000)
    """Points between baseline and image (`gradient`)."""
    segments: int = Field(49, ge=2, le=1000)
    """About how many superpixels (`kernel`)."""
    superpixels: Literal["slic", "grid"] = "slic"
    """`slic` follows the image's edges; `grid` is a grid of squares."""
    coalitions: int = Field(200, ge=2, le=100000, validate_default=True)
    """Images with some superpixels hidden (`kernel`); at least as many as `segments`."""
    baseline: Baseline = "mean"
    """What stands for nothing: `mean` (of the training images), `blurred` (the image itself) or
    `darkest` (the image's darkest value of each channel)."""
    score: Score = "logit"
    """What is explained: the class's `logit` or its `probability`."""
    sign: Sign = "positive"
    """`positive`: places that speak for the class; `absolute`: all that matter to it."""
    seed: int = Field(0, ge=0)
    """Of the points and of the coalitions."""

    @field_validator("coalitions")
    @classmethod
    def _are_enough(cls, coalitions: int, info: ValidationInfo) -> int:
        if coalitions < info.data.get("segments", 2):
            raise ValueError("fewer than segments: their values could not be told apart")
        return coalitions


def explain(params: Params, subject: Subject, images: Tensor, classes: Tensor) -> Raw:
    """Return what each part of each image adds to the scores of its classes.

    Args:
        params: The settings.
        subject: The classifier.
        images: ``[B, c, H, W]``, standardised.
        classes: int64 ``[B, K]``.
    """
    values = _by_gradients if params.method == "gradient" else _by_coalitions
    baseline = baseline_of(images, params.baseline)
    found, forwards = [], 0
    for image, behind, wanted in zip(images, baseline, classes, strict=True):
        one, asked = values(params, subject, (image, behind), wanted)
        found.append(one)
        forwards += asked
    maps = numbers(torch.stack(found))
    shown = signed(maps, params.sign)
    return Raw(shown, forwards, reasons=nothing_speaks(maps, shown, REASON))


def _by_gradients(
    params: Params, subject: Subject, pair: tuple[Tensor, Tensor], wanted: Tensor
) -> tuple[Tensor, int]:
    """Return expected gradients ``[K, H, W]`` and the images that were asked for."""
    image, behind = pair
    apart = image - behind
    random = torch.Generator().manual_seed(params.seed)
    drawn = torch.rand(params.samples, generator=random)
    along = (torch.arange(params.samples) + drawn).to(image) / params.samples
    total = image.new_zeros(len(wanted), *image.shape)
    for some in torch.split(along, max(1, batch_of(image) // KEPT_FOR_GRADIENTS)):
        points = (behind + some[:, None, None, None] * apart).requires_grad_()
        with torch.enable_grad():
            scores = scores_of(subject.net.module(points), params.score)
        for place, index in enumerate(wanted.tolist()):
            is_last = place == len(wanted) - 1
            score = scores[:, index].sum()
            [slope] = torch.autograd.grad(score, points, retain_graph=not is_last)
            total[place] += slope.sum(dim=0)
    return (apart * total / params.samples).sum(dim=1), params.samples


def _by_coalitions(
    params: Params, subject: Subject, pair: tuple[Tensor, Tensor], wanted: Tensor
) -> tuple[Tensor, int]:
    """Return Shapley values ``[K, H, W]`` of the superpixels, and the images asked for."""
    image, behind = pair
    parts = superpixels(image, params.segments, params.superpixels).to(image.device)
    count = int(parts.max()) + 1
    random = torch.Generator().manual_seed(params.seed)
    drawn = _coalitions(count, params.coalitions, random).to(image.device)
    kept = (some[:, parts] for some in torch.split(drawn, batch_of(image)))
    logits = logits_behind(subject, image, behind, kept, len(drawn))
    scores = torch.from_numpy(beyond_rounding(numbers(scores_of(logits, params.score)[:, wanted])))
    values = shapley(drawn, scores).to(image)
    return values.T[:, parts], len(drawn)


def _coalitions(parts: int, count: int, random: torch.Generator) -> Tensor:
    """Return which parts stay, bool ``[2 + count, parts]``: none, all, then drawn ones.

    Sizes are drawn with the weight of all coalitions of their size under the Shapley kernel, and
    each coalition is followed by its complement.
    """
    ends = torch.tensor([[False], [True]]).expand(2, parts)
    if parts < 2:
        return ends
    sizes = torch.arange(1, parts)
    weights = 1 / (sizes * (parts - sizes)).float()
    halves = -(-count // 2)
    drawn = sizes[torch.multinomial(weights, halves, replacement=True, generator=random)]
    ranks = torch.rand(halves, parts, generator=random).argsort(dim=1).argsort(dim=1)
    stays = ranks < drawn[:, None]
    return torch.cat([ends, torch.stack([stays, ~stays], dim=1).flatten(0, 1)[:count]])


def shapley(coalitions: Tensor, scores: Tensor) -> Tensor:
    """Return the Shapley values ``[M, K]`` that fit the scores best (eq. 8 of Lundberg and Lee).

    They add up to the score of the whole image less that of the baseline; least squares of the
    rest, all coalitions alike, for they were drawn with the kernel's weights.

    Args:
        coalitions: bool ``[n, M]``: which parts stay; the first row none, the second all.
        scores: ``[n, K]``.
    """
    stays, answers = coalitions.double().cpu(), scores.double().cpu()
    whole = answers[1] - answers[0]
    last = stays[2:, -1:]
    rest = answers[2:] - answers[0] - last * whole
    found = torch.linalg.lstsq(stays[2:, :-1] - last, rest, driver="gelsd").solution
    values = torch.cat([found, whole - found.sum(dim=0, keepdim=True)])
    return values.to(scores)
