"""Whether a map points into the lesion: pointing game, energy inside, overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.measure._maps import Maps, Values, rows_of


def localisation(maps: Maps, masks: NDArray[Any], tolerance: int = 0) -> dict[str, Values]:
    """Return how each map falls on the lesion of its image.

    The pointing game (Zhang et al., 2016, arXiv:1608.00507), its energy-based form (Wang et al.,
    Score-CAM, 2020, arXiv:1910.01279), and the overlap of the lesion with the pixels at or above a
    threshold.

    Args:
        maps: ``[N, H, W]``, not negative.
        masks: ``[N, H, W]``, non-zero inside the lesion.
        tolerance: Pixels around the lesion that still count as a hit (the pointing game: 15).

    Returns:
        Each ``[N]``, NaN for images without a lesion and for maps of zeros or with NaN:
        ``pointing_hit`` (1 where the highest pixel, the first one if several, lies inside),
        ``energy_inside`` (share of the map's sum inside), ``iou_best`` (the largest intersection
        over union of all thresholds, chosen for each image by its mask: an upper bound) and
        ``iou_half`` (at the threshold of half the map's largest value).

    Raises:
        ValueError: The shapes differ.
    """
    if np.shape(maps) != np.shape(masks):
        raise ValueError(f"maps {np.shape(maps)} and masks {np.shape(masks)} differ")
    heats, lesions = rows_of(maps), rows_of(masks) > 0
    count = lesions.any(axis=1) & np.isfinite(heats).all(axis=1) & (heats.sum(axis=1) > 0)
    found = {name: np.full(len(heats), np.nan) for name in NAMES}
    for index in np.flatnonzero(count):
        heat, lesion = heats[index], lesions[index]
        near = _grown(np.asarray(masks[index]) > 0, tolerance).ravel()
        found["pointing_hit"][index] = near[heat.argmax()]
        found["energy_inside"][index] = heat[lesion].sum() / heat.sum()
        found["iou_best"][index] = _best_overlap(heat, lesion)
        hot = heat >= heat.max() / 2
        found["iou_half"][index] = (hot & lesion).sum() / (hot | lesion).sum()
    return found


#: Names of the scores of ``localisation``.
NAMES = ("pointing_hit", "energy_inside", "iou_best", "iou_half")


def _grown(lesion: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Return the pixels at most ``pixels`` away from the lesion ``[H, W]``."""
    if pixels == 0:
        return lesion
    from skimage.morphology import isotropic_dilation  # imports scipy

    return np.asarray(isotropic_dilation(lesion, radius=pixels))


def _best_overlap(heat: Values, lesion: NDArray[np.bool_]) -> float:
    """Return the largest intersection over union of the lesion with the pixels >= a value."""
    order = np.argsort(-heat, kind="stable")
    inside = lesion[order].cumsum()
    overlaps = inside / (lesion.sum() + np.arange(1, len(heat) + 1) - inside)
    sorted_heat = heat[order]
    last_of_its_value = np.append(sorted_heat[1:] < sorted_heat[:-1], True)
    return float(overlaps[last_of_its_value].max())
