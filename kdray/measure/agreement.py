"""Whether student and teacher agree, in their maps and in what they call an image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kdray.measure._maps import Maps, Values, overlap, pearson, ssim, usable

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
