"""How well a classifier does on one split (torchmetrics)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdray.measure.fast import NUM_BINS, Floats, Ints, prepared, rank_area

#: Scores of a class whose mean weighted by support is given too.
WEIGHTED = ("precision", "recall", "f1", "auc")


def scores(
    logits: Floats | Tensor, labels: Ints | Tensor, classes: Sequence[str]
) -> dict[str, Any]:
    """Return every score of one split, ready for JSON.

    Macro means run over the classes that the split holds: a class without any image there has
    ``support`` 0, nulls for its own scores, and no part in any mean. Weighted means weigh each
    class by its support (so ``weighted_recall`` is the accuracy). A class that is there but never
    predicted has precision 0. The AUC is one against the rest, on softmax probabilities; it is
    null where the split holds a single class.

    Args:
        logits: ``[N, C]``.
        labels: ``[N]``, indices into ``classes``.
        classes: Names of the ``C`` classes.

    Returns:
        ``accuracy``, ``macro_f1``, ``macro_precision``, ``macro_recall``, ``auc`` (macro), each of
        the last four also as ``weighted_...``, ``sigmoid_auc`` (macro AUC of each class's sigmoid,
        for networks trained with them), ``ece`` (expected calibration error of the top
        class, 15 equal bins; Guo et al., 2017, eq. 3), ``loss`` (mean cross-entropy, nats),
        ``per_class``
        (name -> ``precision``, ``recall``, ``f1``, ``auc``, ``support``) and ``confusion``
        (counts, rows are the true classes).

    Raises:
        ModelError: Logits are NaN or infinite.
        ValueError: The shapes do not fit each other or ``classes``.
    """
    from torchmetrics.functional import classification as metrics  # slow to import

    log_probabilities, truth = (torch.from_numpy(value) for value in prepared(logits, labels))
    num_classes = len(classes)
    if log_probabilities.shape[1] != num_classes:
        raise ValueError(f"{log_probabilities.shape[1]} logits for {num_classes} classes")
    probabilities = log_probabilities.exp()
    predicted = probabilities.argmax(dim=1)
    of_classes = _of_classes(probabilities, truth, classes)
    error = metrics.multiclass_calibration_error(probabilities, truth, num_classes, NUM_BINS)
    confusion = metrics.multiclass_confusion_matrix(predicted, truth, num_classes)
    return {
        "accuracy": float((predicted == truth).double().mean()),
        "macro_f1": _mean([of["f1"] for of in of_classes.values()]),
        "auc": _mean([of["auc"] for of in of_classes.values()]),
        **_means(of_classes),
        "sigmoid_auc": _sigmoid_auc(logits, truth),
        "ece": float(error),
        "loss": float(torch.nn.functional.nll_loss(log_probabilities, truth)),
        "per_class": of_classes,
        "confusion": confusion.tolist(),
    }


def _of_classes(
    probabilities: Tensor, truth: Tensor, classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    from torchmetrics.functional import classification as metrics

    given = (probabilities.argmax(dim=1), truth, len(classes))
    found = {
        "precision": metrics.multiclass_precision(*given, average="none"),
        "recall": metrics.multiclass_recall(*given, average="none"),
        "f1": metrics.multiclass_f1_score(*given, average="none"),
    }
    counts = truth.bincount(minlength=len(classes)).tolist()
    return {
        name: {
            **{key: float(value[index]) if count else None for key, value in found.items()},
            "auc": _area(probabilities[:, index], truth == index),
            "support": count,
        }
        for index, (name, count) in enumerate(zip(classes, counts, strict=True))
    }


def _area(values: Tensor, positive: Tensor) -> float | None:
    from torchmetrics.functional import classification as metrics

    if positive.all() or not positive.any():
        return None
    return float(metrics.binary_auroc(values, positive.long()))


def _sigmoid_auc(logits: Floats | Tensor, truth: Tensor) -> float | None:
    """Return the macro AUC by each class's own logit, which ranks images as its sigmoid does."""
    values = logits.detach().cpu().double().numpy() if isinstance(logits, Tensor) else logits
    labels = truth.numpy()
    present = [index for index in np.unique(labels) if not np.all(labels == index)]
    return _mean([rank_area(np.asarray(values)[:, i], labels == i) for i in present])


def _means(of_classes: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the plain means of precision and recall, and all means weighted by support."""
    plain = {
        f"macro_{key}": _mean([of[key] for of in of_classes.values()])
        for key in ("precision", "recall")
    }
    weighted = {f"weighted_{key}": _weighted(of_classes, key) for key in WEIGHTED}
    return {**plain, **weighted}


def _weighted(of_classes: Mapping[str, Mapping[str, Any]], key: str) -> float | None:
    defined = [(of[key], of["support"]) for of in of_classes.values() if of[key] is not None]
    total = sum(support for _, support in defined)
    return sum(value * support for value, support in defined) / total if defined else None


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
