"""Whether a map shows what the model used: how its answer changes when only that is left."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.floating[Any]]


def masked(images: NDArray[np.uint8], maps: Numbers) -> NDArray[np.uint8]:
    """Return images ``[N, H, W, c]`` times their maps ``[N, H, W]``: black where a map is 0."""
    return np.round(images * np.clip(maps, 0, 1)[..., None]).astype(np.uint8)


def faithfulness(
    before: Numbers, after: Numbers, target: NDArray[np.integer[Any]], confidence: float = 0.95
) -> dict[str, dict[str, Any]]:
    """Return two candidates for what the transparency paper calls fidelity.

    arXiv:2502.15959 prints values of a fidelity without its formula. With ``f`` the probability of
    the explained class and ``E * x`` the image times its map:

    - ``retention``: mean of min(1, f(E * x) / f(x)), which is 1 - average drop (Chattopadhay et
      al., Grad-CAM++, 2018, arXiv:1710.11063, section 5.1.1);
    - ``label_agreement``: share of images whose predicted class stays the same.

    Args:
        before: Probabilities of the images ``[N, C]``.
        after: Probabilities of the images times their maps ``[N, C]``.
        target: The explained class of each ``[N]``.
        confidence: Level of the intervals over images.

    Returns:
        Name -> ``mean``, ``std``, ``low``, ``high``, ``n``, ``over``: ``images``.
    """
    rows = np.arange(len(target))
    kept = np.minimum(1.0, after[rows, target] / np.maximum(before[rows, target], 1e-12))
    same = (before.argmax(axis=1) == after.argmax(axis=1)).astype(float)
    return {
        "retention": over_images(kept, confidence),
        "label_agreement": over_images(same, confidence),
    }


def over_images(
    values: Numbers | list[float], confidence: float = 0.95, repeats: int = 1000
) -> dict[str, Any]:
    """Return the mean of a value of each image with its percentile bootstrap interval.

    Args:
        values: One for each image ``[N]``.
        confidence: Level of the interval; it never leaves the range of the values.
        repeats: Resamples of the images.

    Returns:
        ``mean``, ``std`` (n - 1), ``low``, ``high``, ``n``, ``over``: ``images``; a single image
        has no spread.
    """
    known = np.asarray(values, dtype=np.float64)
    found = {"mean": float(known.mean()), "std": None, "low": None, "high": None}
    if len(known) > 1:
        drawn = np.random.default_rng(0).integers(len(known), size=(repeats, len(known)))
        ends = [(1 - confidence) / 2, (1 + confidence) / 2]
        low, high = np.quantile(known[drawn].mean(axis=1), ends)
        found.update(std=float(known.std(ddof=1)), low=float(low), high=float(high))
    return {**found, "n": len(known), "over": "images"}
