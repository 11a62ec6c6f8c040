"""When not to trust an answer: calibrated probabilities, prediction sets, and unknown images.

Everything is fitted on the validation split, and on features of some training images; NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdray.errors import RegistryError

Floats = NDArray[np.float32]
#: Temperatures that are looked at.
COLDEST, HOTTEST = 0.05, 20.0
#: Numbers that a bank may hold, so that looking through it takes less than 0.1 ms an image
#: (measured with one thread: 1,000 x 576 0.09 ms, 1,000 x 2,048 0.3 ms).
BANK_NUMBERS = 400_000
#: The nearest but so many, of the images in the bank, tells how far an image is from them.
NEIGHBOURS = 10
#: Bins of the calibration error, as in ``kdray.measure.scores``.
BINS = 15
#: Coverages at which the size of the prediction sets is stated.
STATED = (0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Bank:
    """Features of images that a model learnt from, by which it knows images of their kind.

    Args:
        features: ``[m, F]``, standardised.
        centre: ``[F]``: their mean.
        scale: ``[F]``: 1 over their standard deviation.
    """

    features: Floats
    centre: Floats
    scale: Floats

    @classmethod
    def of(cls, features: Floats) -> Bank:
        """Return the bank of features ``[m, F]``."""
        floats = np.asarray(features, dtype=np.float64)
        # Channels that are silent in all training images would make any sound a scream.
        deviation = floats.std(axis=0) + 1e-3 * floats.std() + np.finfo(np.float32).tiny
        centre = floats.mean(axis=0).astype(np.float32)
        scale = (1 / deviation).astype(np.float32)
        return cls((np.asarray(features, dtype=np.float32) - centre) * scale, centre, scale)

    def distances(self, features: Floats) -> Floats:
        """Return the squared distance of each image from its k-th nearest, ``[B]``."""
        own = np.asarray((features - self.centre) * self.scale)
        place = neighbours(len(self.features)) - 1
        apart = self._lengths - 2 * (own @ self.features.T)  # without the image's own length
        nearest = np.partition(apart, place, axis=1)[:, place]
        return np.asarray(nearest + np.square(own).sum(axis=1))

    @cached_property
    def _lengths(self) -> Floats:
        return np.asarray(np.square(self.features).sum(axis=1))


_BANK = tuple(item.name for item in fields(Bank))


@dataclass(frozen=True)
class Confidence:
    """What the validation split says of how far to trust a model's answers.

    Args:
        temperature: What logits are divided by before the softmax.
        scores: ``[n]``, rising: 1 - p(true class) of the validation images.
        bank: Training images; None: unknown images cannot be told.
        distances: ``[n]``, rising: how far each validation image is from the bank; None likewise.
        known: What ``facts`` states besides.
    """

    temperature: float
    scores: Floats
    bank: Bank | None
    distances: Floats | None
    known: Mapping[str, Any]

    def probabilities(self, logits: Floats) -> Floats:
        """Return calibrated probabilities ``[B, C]`` of logits ``[B, C]``.

        The softmax of the logits divided by the temperature that minimises the cross-entropy of
        the validation split; the predicted class stays the same. Guo et al., "On calibration of
        modern neural networks", ICML 2017, section 4.2.
        """
        return softmax(logits, self.temperature)

    def sets(self, probabilities: Floats, coverage: float) -> list[tuple[int, ...]]:
        """Return the classes, likeliest first, that hold the true one with a chosen probability.

        Split conformal prediction with the score 1 - p(true class): a class belongs to the set
        when its score is at most the ``ceil((n + 1) * coverage)``-th smallest of the ``n``
        validation images. Sadinle, Lei and Wasserman, "Least ambiguous set-valued classifiers with
        bounded error levels", JASA 2019. The predicted class always belongs to it. With too few
        validation images for the coverage, the set holds all classes.

        Args:
            probabilities: ``[B, C]``, of ``probabilities``.
            coverage: Share of images whose true class the set shall hold, 0..1.
        """
        limit = self.limit(coverage)
        inside = _scores(probabilities) <= limit
        inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [
            tuple(row[members[row]].tolist()) for row, members in zip(order, inside, strict=True)
        ]

    def limit(self, coverage: float) -> float:
        """Return the largest score of a class in a prediction set; infinite: all classes.

        Raises:
            ValueError: The coverage is not between 0 and 1.
        """
        if not 0 <= coverage <= 1:
            raise ValueError(f"coverage {coverage} is not between 0 and 1")
        # 0.9 is a little more than nine tenths: without rounding, one image too many.
        rank = math.ceil(round((len(self.scores) + 1) * coverage, 9))
        if rank == 0:
            return -math.inf
        return math.inf if rank > len(self.scores) else float(self.scores[rank - 1])

    def ood(self, features: Floats) -> Floats | None:
        """Return how unlike the known images each image is, ``[B]``, 0..1.

        The share of the validation images that are nearer to the training images: to the ``k``-th
        nearest of the bank. Sun et al., "Out-of-distribution detection with deep nearest
        neighbors", ICML 2022; but features are standardised one by one, not scaled to length 1:
        in the length of a small network's features is much of what tells (measured in
        docs/serving.md).

        Args:
            features: ``[B, F]``.
        """
        if self.bank is None or self.distances is None:
            return None
        nearer = np.searchsorted(self.distances, self.bank.distances(features), side="left")
        return np.asarray(nearer / len(self.distances), dtype=np.float32)

    def facts(self) -> dict[str, Any]:
        """Return what ``serving.json`` states."""
        return {"temperature": self.temperature, **self.known}

    def arrays(self) -> dict[str, Floats]:
        """Return what ``read`` needs besides, by name."""
        named = {"scores": self.scores}
        if self.bank is not None and self.distances is not None:
            named |= {name: getattr(self.bank, name) for name in _BANK}
            named["distances"] = self.distances
        return {f"confidence.{name}": array for name, array in named.items()}

    @classmethod
    def fitted(
        cls,
        logits: Floats,
        labels: NDArray[np.int64],
        features: Floats,
        bank: Floats | None = None,
    ) -> Confidence:
        """Return the confidence of a model.

        Args:
            logits: ``[n, C]`` of the validation images.
            labels: Their true classes, ``[n]``.
            features: Their features, ``[n, F]``.
            bank: Features of training images ``[m, F]``, drawn at random; no more are kept of
                them than can be looked through quickly. None: unknown images cannot be told.

        Raises:
            ValueError: There are no validation images.
        """
        if not len(labels):
            raise ValueError("there are no validation images")
        temperature = _temperature(np.asarray(logits, dtype=np.float64), labels)
        after = softmax(logits, temperature)
        scores = np.sort(_scores(after)[np.arange(len(labels)), labels])
        kept = None
        if bank is not None and len(bank):
            kept = Bank.of(bank[: bank_size(bank.shape[1])])
        distances = None if kept is None else np.sort(kept.distances(features))
        bare = cls(temperature, scores, kept, distances, {})
        return replace(bare, known=_known(bare, softmax(logits), after, labels))

    @classmethod
    def read(cls, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Confidence:
        """Return what ``facts`` and ``arrays`` gave.

        Raises:
            RegistryError: Something is missing.
        """
        try:
            known = {key: value for key, value in facts.items() if key != "temperature"}
            scores, distances = arrays["confidence.scores"], arrays.get("confidence.distances")
            bank = None
            if distances is not None:
                bank = Bank(**{name: arrays[f"confidence.{name}"] for name in _BANK})
            return cls(float(facts["temperature"]), scores, bank, distances, known)
        except (KeyError, TypeError, ValueError) as error:
            raise RegistryError("confidence", f"is damaged: {error!r}.") from error


def bank_size(features: int) -> int:
    """Return how many images of so many features a bank holds at most: 1,000 or fewer."""
    return max(NEIGHBOURS, min(1000, BANK_NUMBERS // max(1, features)))


def neighbours(bank: int) -> int:
    """Return which of the nearest images of a bank tells how far an image is from it."""
    return min(NEIGHBOURS, bank)


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Return the probabilities ``[B, C]`` of logits divided by a temperature."""
    scaled = logits / np.float32(temperature)
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def calibration_error(probabilities: Floats, labels: ArrayLike) -> float:
    """Return the expected calibration error of the predicted class, 15 equal bins.

    Guo et al. 2017, equation 3.

    Args:
        probabilities: ``[n, C]``.
        labels: True classes, ``[n]``.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == np.asarray(labels)
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1), confidence, side="right")
    gaps = np.bincount(bins, weights=correct - confidence)
    return float(np.abs(gaps).sum() / len(confidence))


def _known(
    confidence: Confidence, before: Floats, after: Floats, labels: NDArray[np.int64]
) -> dict[str, Any]:
    """Return what is stated of the validation split and of the bank."""
    bank = 0 if confidence.bank is None else len(confidence.bank.features)
    return {
        "validation_images": len(labels),
        "ece_before": calibration_error(before, labels),
        "ece_after": calibration_error(after, labels),
        "loss_before": _loss(before, labels),
        "loss_after": _loss(after, labels),
        "mean_classes_of_a_set": {
            str(coverage): _mean_size(confidence, after, coverage) for coverage in STATED
        },
        "ood_bank": bank,
        "ood_k": neighbours(bank),
    }


def _temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the temperature with the smallest cross-entropy.

    That is convex in the inverse of the temperature, so the sign of its slope tells where to go.
    Where no image is wrong the smallest temperature would be best, whatever the model: then 1.
    """
    if (logits.argmax(axis=1) == labels).all():
        return 1.0
    centred = logits - logits.max(axis=1, keepdims=True)
    true = centred[np.arange(len(labels)), labels]
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(60):
        middle = math.sqrt(low * high)
        powers = np.exp(centred * middle)
        expected = (powers * centred).sum(axis=1) / powers.sum(axis=1)
        if (expected - true).mean() > 0:  # the slope of the cross-entropy
            high = middle
        else:
            low = middle
    return 1 / math.sqrt(low * high)


def _scores(probabilities: Floats) -> Floats:
    return np.asarray(np.float32(1) - probabilities)


def _loss(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    true = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(true, np.finfo(np.float32).tiny)).mean(dtype=np.float64))


def _mean_size(confidence: Confidence, probabilities: Floats, coverage: float) -> float:
    sets = confidence.sets(probabilities, coverage)
    return sum(len(members) for members in sets) / len(sets)
