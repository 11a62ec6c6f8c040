"""Whether a map shows what the model used: how its answer changes when only that is left."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.measure.statistics import interval

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


def over_images(values: Numbers | list[float], confidence: float = 0.95) -> dict[str, Any]:
    """Return mean and Student t interval of a value of each image; see ``interval``."""
    return {**interval([float(value) for value in values], confidence), "over": "images"}
