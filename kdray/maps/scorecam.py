"""Score-CAM, exact and within a budget of forward passes (by the papers in ``kdray/explain``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kdray.maps.clusters import cluster_means, correlation, draws, features, guessed
from kdray.maps.masks import distinct, masks_of, nowhere_positive, softmax, weighted
from kdray.maps.raw import Raw

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
#: The number of an image and masks ``[n, h, w]`` to the logits ``[n, C]`` of it seen through each.
Through = Callable[[int, Floats], Floats]
#: Forward passes that tell how long one takes.
PROBES = 8
SMALLEST = 8


@dataclass(frozen=True)
class Budget:
    """What fast Score-CAM may spend on an image.

    Args:
        passes: Most forward passes; None: a quarter of the channels, at least 64.
        ms: Milliseconds that they should take, where that is less.
        rescored: Share of the passes that scores single channels, after the groups.
    """

    passes: int | None = None
    ms: float | None = None
    rescored: float = 0.6


def score_cam(maps: Floats, classes: Indices, size: tuple[int, int], through: Through) -> Raw:
    """Return where images speak for their classes, in one forward pass a different mask.

    Args:
        maps: ``[B, D, h, w]``, from one forward pass.
        classes: ``[B, K]``.
        size: Height and width of the images.
        through: Looks at an image through masks.
    """
    found, forwards = [], len(maps)
    for image, channels in enumerate(maps):
        masks, places = distinct(masks_of(channels, size))
        scores = through(image, masks)[:, classes[image]]
        found.append(weighted(scores[places], channels))
        forwards += len(masks)
    sums = np.stack(found)
    return Raw(sums.clip(0), forwards, reasons=nowhere_positive(sums))


def score_cam_within(
    budget: Budget, maps: Floats, classes: Indices, size: tuple[int, int], through: Through
) -> Raw:
    """Return about where images speak for their classes, and how near that is to Score-CAM.

    Args:
        budget: What may be spent on each image.
        maps: ``[B, D, h, w]``, from one forward pass.
        classes: ``[B, K]``.
        size: Height and width of the images.
        through: Looks at an image through masks.
    """
    found, estimates, forwards = [], [], len(maps)
    for image, channels in enumerate(maps):
        count = classes.shape[1]
        if not np.isfinite(channels).all():
            found.append(np.full((count, *channels.shape[1:]), np.nan, np.float32))
            estimates.append(np.full(count, np.nan, np.float32))
            continue
        masks, places = distinct(masks_of(channels, size))
        score = partial(_scores, through, image, classes[image])
        result = _search(budget, score, masks, np.bincount(places), size)
        found.append(weighted(result.scores[places], channels))
        estimates.append(_estimate(result, places, channels, found[-1]))
        forwards += result.forwards
    sums = np.stack(found)
    return Raw(sums.clip(0), forwards, np.stack(estimates), nowhere_positive(sums))


@dataclass(frozen=True)
class _Found:
    """Scores ``[n, K]`` of all masks, other scores that they may have, and what it cost."""

    scores: Floats
    others: Floats | None
    forwards: int


def _scores(through: Through, image: int, classes: Indices, masks: Floats) -> Floats:
    return through(image, masks)[:, classes]


def _search(
    budget: Budget,
    score: Callable[[Floats], Floats],
    masks: Floats,
    counts: Indices,
    size: tuple[int, int],
) -> _Found:
    """Return the scores of different masks ``[n, h, w]``, each of ``counts`` ``[n]`` channels."""
    passes, spent = _passes(budget, score, masks, int(counts.sum()))
    if passes >= len(masks):
        return _Found(score(masks), None, spent + len(masks))
    rescored = int(budget.rescored * passes)
    means = masks_of(cluster_means(masks, passes - rescored), size)
    known, rows, scores = features(means), features(masks), score(means)
    guess = guessed(known, scores, rows)
    weights = softmax(guess.mean + np.log(counts)[:, None], axis=0).max(axis=1)
    best, rest = np.split(np.argsort(-weights, kind="stable"), [rescored])
    exact = score(masks[best]) if rescored else scores[:0]
    scores = np.concatenate([scores, exact])
    guess = guessed(np.concatenate([known, rows[best]]), scores, rows[rest])
    whole = np.empty((len(masks), scores.shape[1]), np.float32)
    whole[rest], whole[best] = guess.mean, exact
    drawn = draws(guess)
    others = np.repeat(whole[None], len(drawn), axis=0)
    others[:, rest] = drawn
    return _Found(whole, others, spent + len(scores))


def _passes(
    budget: Budget, score: Callable[[Floats], Floats], masks: Floats, channels: int
) -> tuple[int, int]:
    """Return how many forward passes to do, and how many it took to know."""
    passes = budget.passes or max(64, channels // 4)
    if budget.ms is None:
        return passes, 0
    score(masks[:1])  # may make a faster runtime first
    probes = masks[:: max(1, len(masks) // PROBES)][:PROBES]
    started = time.perf_counter()
    score(probes)
    ms = 1000 * (time.perf_counter() - started)
    affordable = int((budget.ms - ms) / (ms / len(probes)))
    return max(SMALLEST, min(passes, affordable)), 1 + len(probes)


def _estimate(result: _Found, places: Indices, channels: Floats, found: Floats) -> Floats:
    """Return the estimated correlation ``[K]`` of maps of sums ``[K, h, w]`` with exact ones."""
    if result.others is None:
        return np.ones(len(found), np.float32)
    drawn = weighted(result.others[:, places], channels)
    alike = correlation(drawn.clip(0), found.clip(0))
    known = np.isfinite(alike)
    total = np.where(known, alike, 0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean: Floats = (total / known.sum(axis=0)).astype(np.float32)
    return mean
