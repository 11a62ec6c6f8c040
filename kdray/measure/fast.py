"""Scores in NumPy alone: for every epoch and every resample, where imports must be quick."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kdray.errors import ModelError

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
NUM_BINS = 15


def validation_scores(
    logits: Floats | torch.Tensor, labels: Ints | torch.Tensor
) -> dict[str, float | None]:
    """Return accuracy, macro F1, AUC and loss, equal to those of ``scores``.

    Args:
        logits: ``[N, C]``, of any device.
        labels: ``[N]``, class indices.

    Returns:
        ``accuracy``, ``macro_f1``, ``auc`` (None where undefined) and ``loss`` (nats).

    Raises:
        ModelError: Logits are NaN or infinite.
    """
    log_probabilities, truth = prepared(logits, labels)
    return {
        name: score_function(name)(log_probabilities, truth)
        for name in ("accuracy", "macro_f1", "auc", "loss")
    }


def prepared(
    logits: Floats | torch.Tensor, labels: Ints | torch.Tensor
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return log-probabilities ``[N, C]`` and labels ``[N]`` of one evaluation.

    Raises:
        ModelError: Logits are NaN or infinite.
        ValueError: The shapes do not fit, there is no sample, or a label names no class.
    """
    values, truth = _on_cpu(logits, torch.float64), _on_cpu(labels, torch.int64)
    if values.ndim != 2 or truth.shape != values.shape[:1] or not len(truth):
        raise ValueError(f"logits {tuple(values.shape)} do not fit labels {tuple(truth.shape)}")
    if truth.min() < 0 or truth.max() >= values.shape[1]:
        raise ValueError(f"labels lie outside the {values.shape[1]} classes of the logits")
    num_bad = int((~torch.isfinite(values).all(dim=1)).sum())
    if num_bad:
        raise ModelError(
            "logits",
            f"{num_bad} of {len(truth)} rows are NaN or infinite: the training diverged.",
            "Lower the learning rate, or train in float32.",
        )
    return values.log_softmax(dim=1).numpy(), truth.numpy()


def _on_cpu(values: Floats | Ints | torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    if isinstance(values, np.ndarray):
        values = torch.tensor(values)  # a copy: arrays that Ray brought are read-only
    return values.detach().to("cpu", kind)


def score_function(
    name: str,
) -> Callable[[NDArray[np.float64], NDArray[np.int64]], float | None]:
    """Return the function from log-probabilities ``[N, C]`` and labels ``[N]`` to one score.

    Args:
        name: ``accuracy``, ``auc``, ``ece``, ``loss``, or ``macro_`` or ``weighted_`` with
            ``f1``, ``precision`` or ``recall``, or ``weighted_auc``.

    Raises:
        ValueError: There is no such score.
    """
    known: dict[str, Callable[..., float | None]] = {
        "accuracy": _accuracy,
        **{
            f"{average}_{score}": partial(_mean_of, score, average == "weighted")
            for average in ("macro", "weighted")
            for score in ("f1", "precision", "recall")
        },
        "auc": _auc,
        "weighted_auc": partial(_auc, weighted=True),
        "ece": _calibration_error,
        "loss": _loss,
    }
    if name not in known:
        raise ValueError(f"no score is called {name!r}; there are: {', '.join(known)}")
    return known[name]


def _accuracy(log_probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float(np.mean(log_probabilities.argmax(axis=1) == labels))


def _mean_of(
    score: str,
    is_weighted: bool,
    log_probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
) -> float:
    """Return the mean of one score of the classes that are there, plain or by their support."""
    num_classes = log_probabilities.shape[1]
    predicted = log_probabilities.argmax(axis=1)
    support = np.bincount(labels, minlength=num_classes)
    claimed = np.bincount(predicted, minlength=num_classes)
    hits = np.bincount(labels[predicted == labels], minlength=num_classes)
    of = {
        "f1": 2 * hits / np.maximum(support + claimed, 1),
        "precision": hits / np.maximum(claimed, 1),
        "recall": hits / np.maximum(support, 1),
    }[score]
    present = support > 0
    return float(np.average(of[present], weights=support[present] if is_weighted else None))


def _auc(
    log_probabilities: NDArray[np.float64], labels: NDArray[np.int64], weighted: bool = False
) -> float | None:
    support = np.bincount(labels, minlength=log_probabilities.shape[1])
    present = [index for index in np.flatnonzero(support) if support[index] < len(labels)]
    if not present:
        return None
    areas = [rank_area(np.exp(log_probabilities[:, index]), labels == index) for index in present]
    return float(np.average(areas, weights=support[present] if weighted else None))


def rank_area(values: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve by the rank sum (Mann and Whitney); ties count half."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    num_positive = int(positive.sum())
    above = float(ranks[positive].sum()) - num_positive * (num_positive + 1) / 2
    return above / (num_positive * (len(values) - num_positive))


def _calibration_error(log_probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    confidence = np.exp(log_probabilities.max(axis=1))
    edges = np.linspace(0, 1, NUM_BINS + 1)
    bins = np.searchsorted(edges, confidence, side="right")
    gaps = (log_probabilities.argmax(axis=1) == labels) - confidence
    return float(np.abs(np.bincount(bins, weights=gaps)).sum() / len(labels))


def _loss(log_probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())
