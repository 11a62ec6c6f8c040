"""Score-CAM within a budget of forward passes, with an estimate of how near it comes.

The channels' masks (see `scorecam`) are grouped by k-means. The mean mask of each group is scored,
a Gaussian process over masks (kriging) guesses the scores of all channels from these, and the
channels that weigh most by that guess are then scored exactly, which also corrects the guess of
the rest. With as many forward passes as there are different masks it is exact Score-CAM.

The estimate is the mean Pearson correlation of the map with maps whose unknown scores are drawn
from what the process leaves open: what the scored masks do not tell of the others. It is 1 where
nothing was guessed. What the settings were tuned on and confirmed on: docs/explanations.md.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from kdray.explain._clusters import cluster_means, correlation, draws, features, guessed
from kdray.explain._masks import distinct, logits_through, masks_of, nowhere_positive, weighted
from kdray.explain._subject import Raw, Subject
from kdray.explain._watch import maps_at
from kdray.spec.strict import Strict

COST = "1 forward for every 4 channels, at least 64; preview: 32"
PRESETS: dict[str, dict[str, Any]] = {
    "score-cam-fast": {"params": {}},
    "score-cam-preview": {"params": {"budget": 32, "rescored": 0.375}},
}
#: Forward passes that tell how long one takes.
PROBES = 8
SMALLEST = 8


class Params(Strict):
    """Settings of fast Score-CAM."""

    tap: str = "cam"
    """Which layer: `cam` (the model's own choice) or `stage1`, `stage2`, ..."""
    budget: int | None = Field(None, ge=8)
    """Most forward passes for an image; `null`: a quarter of the channels, at least 64."""
    budget_ms: float | None = Field(None, gt=0)
    """Milliseconds that the forward passes of an image should take, where that is less."""
    rescored: float = Field(0.6, ge=0, le=0.9)
    """Share of the budget that scores single channels, after the groups."""
    batch_size: int | None = Field(None, ge=1, le=1024)
    """Masked images in one forward pass; changes speed and memory, not the map. `null`: as many as
    are fastest."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the masked forward passes; `bfloat16` is faster where the processor has it."""


@dataclass(frozen=True)
class _Found:
    """Scores ``[n, K]`` of all masks, other scores that they may have, and what it cost."""

    scores: Tensor
    others: Tensor | None
    forwards: int


def explain(params: Params, subject: Subject, images: Tensor, classes: Tensor) -> Raw:
    """Return about where each image speaks for its classes, and how near that is to Score-CAM.

    Args:
        params: The settings.
        subject: The classifier.
        images: ``[B, c, H, W]``, standardised.
        classes: int64 ``[B, K]``.

    Raises:
        ModelError: The network has no such tap.
    """
    _, seen = maps_at(subject.net, (params.tap,), images)
    maps, found, estimates, forwards = seen[params.tap].float(), [], [], len(images)
    for image, channels, wanted in zip(images, maps, classes, strict=True):
        if not torch.isfinite(channels).all():
            found.append(channels.new_full((len(wanted), *channels.shape[1:]), torch.nan))
            estimates.append(channels.new_full((len(wanted),), torch.nan))
            continue
        masks, places = distinct(masks_of(channels, (image.shape[1], image.shape[2])))
        result = _search(params, subject, image, masks, torch.bincount(places), wanted)
        found.append(weighted(result.scores[places], channels))
        estimates.append(_estimate(result, places, channels, found[-1]))
        forwards += result.forwards
    sums = torch.stack(found)
    return Raw(sums.relu(), forwards, torch.stack(estimates), nowhere_positive(sums))


def _search(
    params: Params,
    subject: Subject,
    image: Tensor,
    masks: Tensor,
    counts: Tensor,
    classes: Tensor,
) -> _Found:
    """Return the scores of different masks ``[n, h, w]``, each of ``counts`` ``[n]`` channels."""

    def score(some: Tensor) -> Tensor:
        logits = logits_through(subject, image, some, params.batch_size, params.precision)
        return logits[:, classes]

    budget, spent = _budget(params, score, masks, int(counts.sum()))
    if budget >= len(masks):
        return _Found(score(masks), None, spent + len(masks))
    rescored = int(params.rescored * budget)
    means = masks_of(cluster_means(masks, budget - rescored), (image.shape[1], image.shape[2]))
    known, rows, scores = features(means), features(masks), score(means)
    guess = guessed(known, scores, rows)
    weights = (guess.mean + counts[:, None].log()).softmax(dim=0).amax(dim=1)
    best, rest = weights.argsort(descending=True, stable=True).tensor_split([rescored])
    if rescored:
        exact = score(masks[best])
        known, scores = torch.cat([known, rows[best]]), torch.cat([scores, exact])
    guess = guessed(known, scores, rows[rest])
    whole = guess.mean.new_empty(len(masks), len(classes))
    whole[rest] = guess.mean
    if rescored:
        whole[best] = exact
    others = whole.repeat(16, 1, 1)
    others[:, rest] = draws(guess)
    return _Found(whole, others, spent + len(scores))


def _budget(params: Params, score: Any, masks: Tensor, channels: int) -> tuple[int, int]:
    """Return how many forward passes to do, and how many it took to know."""
    budget = params.budget or max(64, channels // 4)
    if params.budget_ms is None:
        return budget, 0
    score(masks[:1])  # may make a faster runtime first
    probes = masks[:: max(1, len(masks) // PROBES)][:PROBES]
    started = time.perf_counter()
    score(probes)
    ms = 1000 * (time.perf_counter() - started)
    affordable = int((params.budget_ms - ms) / (ms / len(probes)))
    return max(SMALLEST, min(budget, affordable)), 1 + len(probes)


def _estimate(result: _Found, places: Tensor, channels: Tensor, found: Tensor) -> Tensor:
    """Return the estimated correlation ``[K]`` of maps of sums ``[K, h, w]`` with exact ones."""
    if result.others is None:
        return found.new_ones(len(found))
    drawn = torch.stack([weighted(scores[places], channels) for scores in result.others])
    return correlation(drawn.relu(), found.relu()).nanmean(dim=0).float()
