"""Whether explanations agree: student with teacher, and map with lesion."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.measure._maps import Maps, Values, overlap, pearson, ssim, usable

_TOP = 0.2
#: Other images that the chance level of an image is the mean of.
_OTHERS = 10


def map_agreement(teacher: Maps, student: Maps, seed: int = 0) -> dict[str, Values]:
    """Return how alike each image's maps of teacher and student are, and what chance gives.

    Compare maps of the same method for the same class on one grid (``on_grid``). Maps that look at
    the centre of every image are alike for nothing, so a score says something only above its
    chance level: the teacher's map of image i against the student's maps of other images.

    Args:
        teacher: ``[N, H, W]`` in [0, 1].
        student: ``[N, H, W]``, of the same images in the same order.
        seed: Seed of the other images that are drawn.

    Returns:
        Each ``[N]``, NaN where a map is blank: ``pearson`` (correlation over the pixels), ``ssim``
        (structural similarity), ``iou20`` (intersection over union of the pixels above each map's
        own 80th percentile), and ``chance_pearson``, ``chance_ssim``, ``chance_iou20``: the mean
        over up to 10 other images.

    Raises:
        ValueError: The shapes differ.
    """
    if np.shape(teacher) != np.shape(student):
        raise ValueError(f"maps {np.shape(teacher)} and {np.shape(student)} differ")
    found = {name: of(teacher, student) for name, of in _LIKENESS.items()}
    ours, theirs = _other_images(usable(teacher), usable(student), seed)
    for name, of in _LIKENESS.items():
        found[f"chance_{name}"] = _mean_of_each(of(teacher[ours], student[theirs]), ours, teacher)
    return found


_LIKENESS: dict[str, Callable[[Maps, Maps], Values]] = {
    "pearson": pearson,
    "ssim": ssim,
    "iou20": overlap,
}


def _other_images(
    teacher: NDArray[np.bool_], student: NDArray[np.bool_], seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return pairs (i, j) of usable maps of different images, up to 10 for each i."""
    random = np.random.default_rng(seed)
    known = np.flatnonzero(student)
    pairs = []
    for index in np.flatnonzero(teacher):
        others = random.permutation(known[known != index])[:_OTHERS]
        pairs += [(index, other) for other in others]
    ours, theirs = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    return ours, theirs


def _mean_of_each(values: Values, images: NDArray[np.intp], maps: Maps) -> Values:
    """Return the mean of the values of each image ``[N]``; NaN where it has none."""
    known = np.isfinite(values)
    counts = np.bincount(images[known], minlength=len(maps))
    sums = np.bincount(images[known], weights=values[known], minlength=len(maps))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def top1_agreement(student: Maps, teacher: Maps) -> Values:
    """Return for each image whether student and teacher call it the same, 1 or 0 ``[N]``.

    The fidelity of distillation (Stanton et al., 2021, arXiv:2106.05945): "the ability of a
    student to match a teacher's predictions".

    Args:
        student: Logits or probabilities ``[N, C]``.
        teacher: Logits or probabilities ``[N, C]`` of the same images.
    """
    same: Values = (student.argmax(axis=1) == teacher.argmax(axis=1)).astype(np.float64)
    return same


def mean_agreement(teacher_maps: Maps, student_maps: Maps) -> dict[str, float | int | None]:
    """Return how alike the maps of teacher and student are, on the grid they are given on.

    Compare maps of the same method for the same class. Maps that look at the centre of every
    image correlate for nothing, so a correlation says something only above its chance level.

    Args:
        teacher_maps: ``[N, H, W]``.
        student_maps: ``[N, H, W]``, of the same images in the same order.

    Returns:
        ``pearson``: correlation over the pixels of each image, mean over images;
        ``chance_pearson``: the same between the teacher's map of image i and the student's map of
        image j, mean over all j != i; ``iou20``: overlap (intersection over union) of the pixels
        above each map's own 80th percentile, mean over images; ``images``: how many have a
        correlation. A blank map or one with NaN has none, and its image is left out. Values are
        None where no image is left.

    Raises:
        ValueError: The shapes differ.
    """
    first, second = _rows(teacher_maps), _rows(student_maps)
    if np.shape(teacher_maps) != np.shape(student_maps):
        raise ValueError(f"maps {np.shape(teacher_maps)} and {np.shape(student_maps)} differ")
    correlations = _standardised(first) @ _standardised(second).T
    other = ~np.eye(len(first), dtype=bool)
    return {
        "pearson": _mean(np.diagonal(correlations)),
        "chance_pearson": _mean(correlations[other]),
        "iou20": _mean(_overlaps(first, second)),
        "images": int(np.isfinite(np.diagonal(correlations)).sum()),
    }


def pointing_game(maps: Maps, masks: NDArray[Any]) -> dict[str, float | int | None]:
    """Return how often and how much the maps point into the lesions.

    The pointing game (Zhang et al., 2016, arXiv:1608.00507) and its energy-based form
    (Wang et al., Score-CAM, 2020, arXiv:1910.01279).

    Differs: no tolerance around the lesion, where the pointing game allows 15 pixels.

    Args:
        maps: ``[N, H, W]``, not negative.
        masks: ``[N, H, W]``, non-zero inside the lesion.

    Returns:
        ``hits`` and ``misses``: images whose highest pixel (the first one, if several) lies
        inside, and outside; ``energy_inside``: share of the map's sum that lies inside, mean over
        images, None where no image counts. Images without a lesion, with a map of zeros or with
        NaN do not count.

    Raises:
        ValueError: The shapes differ.
    """
    heats, lesions = _rows(maps), _rows(masks) > 0
    if np.shape(maps) != np.shape(masks):
        raise ValueError(f"maps {np.shape(maps)} and masks {np.shape(masks)} differ")
    count = lesions.any(axis=1) & np.isfinite(heats).all(axis=1) & (heats.sum(axis=1) > 0)
    heats, lesions = heats[count], lesions[count]
    inside = lesions[np.arange(len(heats)), heats.argmax(axis=1)]
    energy = (heats * lesions).sum(axis=1) / heats.sum(axis=1)
    return {
        "hits": int(inside.sum()),
        "misses": int((~inside).sum()),
        "energy_inside": _mean(energy),
    }


def _rows(maps: NDArray[Any]) -> NDArray[np.float64]:
    """Return maps as ``[N, H * W]``."""
    values = np.asarray(maps, dtype=np.float64)
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _standardised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows of mean 0 and length 1; NaN where a row is blank or not finite."""
    blank = ~np.isfinite(rows).all(axis=1) | (np.ptp(rows, axis=1) <= 1e-9)
    centred = np.where(blank[:, None], np.nan, rows)
    centred = centred - centred.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).sum(axis=1, keepdims=True)))


def _overlaps(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    ours, theirs = _top(first), _top(second)
    union = (ours | theirs).sum(axis=1)
    usable = ours.any(axis=1) & theirs.any(axis=1)
    overlap = (ours & theirs).sum(axis=1) / np.maximum(union, 1)
    return np.where(usable, overlap, np.nan)


def _top(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(rows > np.quantile(rows, 1 - _TOP, axis=1, keepdims=True))


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
