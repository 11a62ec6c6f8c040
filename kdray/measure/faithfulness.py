"""Whether a map shows what the model used: how its answer changes when only that is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.measure._maps import Values, pearson, usable
from kdray.measure.localisation import localisation
from kdray.measure.removal import Curves, Images, Numbers, Probabilities, Removal, removal_curves


@dataclass(frozen=True)
class MapScores:
    """What maps are worth, image by image.

    Args:
        values: Score -> ``[N]``, NaN where undefined; see ``DEFINITIONS``.
        curves: ``deletion`` and ``insertion`` ``[N, steps + 1]``: the probability of the
            explained class as the hottest pixels go, and come.
        shares: ``[steps + 1]``: share of the pixels that are changed at each point.
        degenerate: How many maps show nothing, so that they have no score.
        forwards: Images that went through the model.
    """

    values: Mapping[str, Values]
    curves: Mapping[str, Values]
    shares: Values
    degenerate: int
    forwards: int


def map_scores(
    probabilities: Probabilities,
    images: Images,
    maps: Numbers,
    targets: NDArray[np.integer[Any]],
    masks: NDArray[Any] | None = None,
    removal: Removal = Removal(),  # noqa: B008 - it is frozen
) -> MapScores:
    """Return how faithful maps are to the model, and how they fall on the lesions.

    With 20 steps a map costs 42 images through the model: the image, the image times its map, and
    twice 20 steps, for each curve begins or ends at the image itself.

    Args:
        probabilities: The model: uint8 ``[B, H, W, c]`` to probabilities ``[B, C]``.
        images: uint8 ``[N, H, W, c]``.
        maps: ``[N, H, W]`` in [0, 1]; one that is constant or not finite has no score, and costs
            nothing.
        targets: The explained class of each image ``[N]``.
        masks: ``[N, H, W]``, non-zero inside a lesion; adds the scores of ``localisation``.
        removal: How pixels are taken away.

    Raises:
        ValueError: The maps are not of the images' number and size.
    """
    if np.shape(maps) != images.shape[:3]:
        raise ValueError(f"maps {np.shape(maps)} and images {images.shape[:3]} differ")
    known = np.flatnonzero(usable(maps))
    count, points = len(images), removal.steps + 1
    values: dict[str, Values] = {}
    curves = {name: np.full((count, points), np.nan) for name in ("deletion", "insertion")}
    shares, forwards = np.linspace(0, 1, points), 0
    if len(known):
        some = images[known], np.asarray(maps)[known], np.asarray(targets)[known]
        found, seen, forwards = _faithful(probabilities, *some, removal)
        values = {name: _placed(item, known, count) for name, item in found.items()}
        curves["deletion"][known], curves["insertion"][known] = seen.deletion, seen.insertion
        shares = seen.shares
    values = {name: values.get(name, np.full(count, np.nan)) for name in NAMES}
    if masks is not None:
        values |= localisation(maps, masks)
    return MapScores(values, curves, shares, count - len(known), forwards)


#: The scores of ``map_scores`` that need no mask.
NAMES = (
    "deletion_auc",
    "insertion_auc",
    "average_drop",
    "increase",
    "retention",
    "label_agreement",
    "prediction_change",
    "removal_correlation",
    "input_similarity",
)


def _faithful(
    probabilities: Probabilities,
    images: Images,
    maps: Numbers,
    targets: NDArray[np.integer[Any]],
    removal: Removal,
) -> tuple[dict[str, Values], Curves, int]:
    size = removal.batch_size
    before = _batched(probabilities, images, size)
    after = _batched(probabilities, masked(images, maps), size)
    curves = removal_curves(probabilities, images, maps, targets, before, removal)
    found = {
        "deletion_auc": curves.deletion_auc,
        "insertion_auc": curves.insertion_auc,
        **_confidence(before, after, targets),
        "removal_correlation": pearson(
            curves.removed[:, None], -np.diff(curves.deletion, axis=1)[:, None]
        ),
        "input_similarity": pearson(maps, images.mean(axis=3)),
    }
    return found, curves, 2 * len(images) + curves.forwards


def _confidence(
    before: Numbers, after: Numbers, targets: NDArray[np.integer[Any]]
) -> dict[str, Values]:
    """Return how the answer differs between images and the same images times their maps."""
    rows = np.arange(len(targets))
    first, second = (np.asarray(p, dtype=np.float64)[rows, targets] for p in (before, after))
    # What a class of probability zero could lose, nobody can say.
    drop = np.maximum(first - second, 0) / np.where(first > 0, first, np.nan)
    return {
        "average_drop": drop,
        "increase": (second > first).astype(np.float64),
        "retention": 1 - drop,
        "label_agreement": (before.argmax(axis=1) == after.argmax(axis=1)).astype(np.float64),
        "prediction_change": 1 - np.abs(first - second),
    }


def _batched(probabilities: Probabilities, images: Images, size: int) -> Numbers:
    starts = range(0, len(images), size)
    return np.concatenate([probabilities(images[start : start + size]) for start in starts])


def _placed(values: Values, known: NDArray[np.intp], count: int) -> Values:
    found = np.full(count, np.nan)
    found[known] = values
    return found


def masked(images: NDArray[np.uint8], maps: Numbers) -> NDArray[np.uint8]:
    """Return images ``[N, H, W, c]`` times their maps ``[N, H, W]``: black where a map is 0."""
    return np.round(images * np.clip(maps, 0, 1)[..., None]).astype(np.uint8)


def over_images(
    values: Numbers | list[float], confidence: float = 0.95, repeats: int = 1000
) -> dict[str, Any]:
    """Return the mean of a value of each image with its percentile bootstrap interval.

    Args:
        values: One for each image ``[N]``; NaN is undefined, and left out.
        confidence: Level of the interval; it never leaves the range of the values.
        repeats: Resamples of the images.

    Returns:
        ``mean``, ``std`` (n - 1), ``low``, ``high``, ``n`` (without those left out), ``over``:
        ``images``; a single image has no spread, none at all has no mean.
    """
    given = np.asarray(values, dtype=np.float64)
    known = given[~np.isnan(given)]
    found: dict[str, Any] = dict.fromkeys(("mean", "std", "low", "high"))
    if len(known):
        found["mean"] = float(known.mean())
    if len(known) > 1:
        drawn = np.random.default_rng(0).integers(len(known), size=(repeats, len(known)))
        ends = [(1 - confidence) / 2, (1 + confidence) / 2]
        low, high = np.quantile(known[drawn].mean(axis=1), ends)
        found.update(std=float(known.std(ddof=1)), low=float(low), high=float(high))
    return {**found, "n": len(known), "over": "images"}
