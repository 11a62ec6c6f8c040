"""How sure a score is: intervals and paired tests, over seeds or over images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.measure.fast import Floats, Ints, prepared, score_function


def interval(values: Sequence[float | None], confidence: float = 0.95) -> dict[str, Any]:
    """Return mean and Student t interval of one score over seeds.

    Args:
        values: The score of each seed; None (an undefined AUC) is left out.
        confidence: Level of the interval.

    Returns:
        ``mean``, ``std`` (n - 1), ``low``, ``high``, ``n``, ``over``: ``seeds``. A single value
        has no spread: ``std``, ``low`` and ``high`` are None.
    """
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    result = dict.fromkeys(("mean", "std", "low", "high"))
    if len(known):
        result["mean"] = float(known.mean())
    if len(known) > 1:
        deviation = float(known.std(ddof=1))
        half = student_t(confidence, len(known) - 1) * deviation / math.sqrt(len(known))
        mean = float(known.mean())
        result.update(std=deviation, low=mean - half, high=mean + half)
    return {**result, "n": len(known), "over": "seeds"}


def paired_difference(
    ours: Sequence[float | None], theirs: Sequence[float | None], confidence: float = 0.95
) -> dict[str, Any]:
    """Return ours - theirs with its interval and p-value: the t test, paired by seed.

    Args:
        ours: The score of each seed.
        theirs: The other model's score of the same seeds, in the same order.
        confidence: Level of the interval.

    Returns:
        ``mean``, ``low``, ``high``, ``n``, ``p`` (two-sided), ``over``: ``seeds``. ``p`` is None
        for fewer than two pairs, and where all differences are equal but not zero: no spread is
        seen to judge them by.

    Raises:
        ValueError: The lists differ in length.
    """
    pairs = zip(ours, theirs, strict=True)
    found = interval([a - b for a, b in pairs if a is not None and b is not None], confidence)
    spread = found.pop("std")
    probability = None
    if spread is not None:
        noise = 1e-12 * max(1.0, abs(found["mean"]))
        if spread > noise:
            t = found["mean"] / spread * math.sqrt(found["n"])
            probability = 1 - _central(
                math.atan2(abs(t), math.sqrt(found["n"] - 1)), found["n"] - 1
            )
        elif abs(found["mean"]) <= noise:
            probability = 1.0
    return {**found, "p": probability}


def bootstrap_interval(
    logits: Floats,
    labels: Ints,
    score: str,
    confidence: float = 0.95,
    repeats: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return a score and its percentile bootstrap interval over images, for a single run.

    It tells how the score would vary with other images, not with other seeds of the training.
    Images are drawn one by one, so images of one patient make it too narrow.

    Args:
        logits: ``[N, C]``.
        labels: ``[N]``.
        score: ``accuracy``, ``macro_f1``, ``auc``, ``ece`` or ``loss``.
        confidence: Level of the interval.
        repeats: Resamples; those where the score is undefined are left out.
        seed: Seed of the draws.

    Returns:
        ``mean`` (the score of all images), ``std`` (of the resamples), ``low``, ``high``, ``n``
        (images), ``over``: ``images``.

    Raises:
        ModelError: Logits are NaN or infinite.
    """
    of = score_function(score)
    values, truth = prepared(logits, labels)
    drawn = [of(values[rows], truth[rows]) for rows in _draws(len(truth), repeats, seed)]
    low, high, spread = _percentiles(drawn, confidence)
    mean = of(values, truth)
    result = {"mean": mean, "std": spread, "low": low, "high": high}
    return {**result, "n": len(truth), "over": "images"}


def paired_bootstrap(
    ours: Floats,
    theirs: Floats,
    labels: Ints,
    score: str,
    confidence: float = 0.95,
    repeats: int = 1000,
) -> dict[str, Any]:
    """Return ours - theirs on the same images, with a bootstrap interval, for one run each.

    Args:
        ours: Logits ``[N, C]``.
        theirs: The other model's logits ``[N, C]`` of the same images.
        labels: ``[N]``.
        score: As for ``bootstrap_interval``.
        confidence: Level of the interval.
        repeats: Resamples, the same images for both models.

    Returns:
        ``mean``, ``low``, ``high``, ``n`` (images), ``p`` (two-sided: twice the share of
        resamples on the other side of zero, with one added to both counts), ``over``: ``images``.

    Raises:
        ModelError: Logits are NaN or infinite.
    """
    return paired_bootstrap_of_runs([ours], [theirs], labels, score, confidence, repeats)


def paired_bootstrap_of_runs(
    ours: Sequence[Floats],
    theirs: Sequence[Floats],
    labels: Ints,
    score: str,
    confidence: float = 0.95,
    repeats: int = 1000,
) -> dict[str, Any]:
    """Return the mean over runs of ours - theirs, bootstrapped over the images they share.

    It tells how the difference of these very runs would vary with other images; the spread over
    seeds is what ``paired_difference`` tells.

    Args:
        ours: Logits ``[N, C]`` of each run.
        theirs: The other model's logits ``[N, C]`` of each run.
        labels: ``[N]``.
        score: As for ``bootstrap_interval``.
        confidence: Level of the interval.
        repeats: Resamples, the same images for all runs.

    Returns:
        As ``paired_bootstrap``.

    Raises:
        ModelError: Logits are NaN or infinite.
    """
    of = score_function(score)
    truth = prepared(ours[0], labels)[1]
    first, second = ([prepared(run, labels)[0] for run in runs] for runs in (ours, theirs))

    def difference(rows: Any) -> float | None:
        means = (_mean([of(run[rows], truth[rows]) for run in runs]) for runs in (first, second))
        return _less(*means)

    drawn = [difference(rows) for rows in _draws(len(truth), repeats, seed=0)]
    low, high, _spread = _percentiles(drawn, confidence)
    mean = difference(slice(None))
    result = {"mean": mean, "low": low, "high": high, "n": len(truth), "p": _two_sided(drawn)}
    return {**result, "over": "images"}


def student_t(confidence: float, freedom: int) -> float:
    """Return the t with ``P(-t < T < t) = confidence`` for ``freedom`` degrees of freedom.

    Args:
        confidence: Between 0 and 1.
        freedom: A whole number, 1 or more.
    """
    low, high = 0.0, math.pi / 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _central(middle, freedom) < confidence else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _central(angle: float, freedom: int) -> float:
    """Return ``P(|T| < t)`` for t = sqrt(freedom) tan(angle): a finite sum for whole degrees.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(1 + odd, freedom, 2):
        total += term
        term *= cosine**2 * power / (power + 1)
    if odd:
        return 2 / math.pi * (angle + sine * total)
    return sine * total


def _draws(num: int, repeats: int, seed: int) -> Iterator[NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    for _ in range(repeats):
        yield random.integers(num, size=num)


def _percentiles(
    drawn: Sequence[float | None], confidence: float
) -> tuple[float | None, float | None, float | None]:
    known = [value for value in drawn if value is not None]
    if len(known) < 2:
        return None, None, None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high), float(np.std(known, ddof=1))


def _two_sided(drawn: Sequence[float | None]) -> float | None:
    known = np.array([value for value in drawn if value is not None])
    if not len(known):
        return None
    fewer = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(known) + 1))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _less(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours - theirs
