"""Where a network looks: masks of an early and a late map, or of early and late attention.

DFS-Ex of "Explainable Dual-Feature Knowledge Distillation" (DFKD), equations 2-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from kdray.errors import ModelError
from kdray.net import Look, Net, Wants

MAPS = ("texture", "shape")
#: What the same two are called of attention.
ATTENDED = ("attention-early", "attention-late")
#: Least variance of a map: a blank one must not divide by 0.
_LEAST = 1e-6


@dataclass(frozen=True)
class Masking:
    """How maps become masks.

    Args:
        kappa: Standard deviations above the mean from which a place counts (eq. 2).
        kappa_attention: The same for attention, which has one channel.
        eta: Weight of the early mask; the late one has the rest (eq. 4).
        tau: Width of the soft threshold, in standard deviations.
        mask: ``hard`` (eq. 2, 0 or 1, without a gradient), ``soft`` (a sigmoid instead of the
            step) or ``straight_through`` (hard values with the gradient of the soft ones).
        grid: Rows and columns of the result; None: a quarter of the image's height and width.
    """

    kappa: float = 3.0
    kappa_attention: float = 0.5
    eta: float = 0.5
    tau: float = 1.0
    mask: str = "soft"
    grid: tuple[int, int] | None = None


def saliency_wants(net: Net, where: str) -> Wants:
    """Return what ``saliency`` needs to see of a net.

    Convolutions show their taps ``texture`` and ``shape``; nets of tokens, and nets without
    these taps, their attention.

    Args:
        net: The net.
        where: Names net and method in the error.

    Raises:
        ModelError: The net has neither.
    """
    mapped = all(name in net.taps and net.taps[name].layout != "tokens" for name in MAPS)
    if mapped:
        return Wants(MAPS)
    if net.attention:
        return Wants(attention=True)
    raise ModelError(
        where,
        "has neither the maps texture and shape nor attention that could be read.",
        f"Choose another model; this one has the maps {', '.join(net.taps) or 'none'}.",
    )


def saliency(seen: Look, masking: Masking | None = None) -> Tensor:
    """Return G = eta R(early) + (1 - eta) R(late), ``[B, h, w]`` in [0, 1] (eq. 4).

    Args:
        seen: A look with what ``saliency_wants`` names, or that look reduced.
        masking: How maps become masks.
    """
    masking = masking or Masking()
    early, late = streams(seen, masking)
    return masking.eta * early + (1 - masking.eta) * late


def streams(seen: Look, masking: Masking) -> tuple[Tensor, Tensor]:
    """Return R of the early and of the late place, each ``[B, h, w]`` in [0, 1] (eq. 2).

    Args:
        seen: A look with what ``saliency_wants`` names, or that look reduced.
        masking: How maps become masks.
    """
    grid = masking.grid or (seen.size[0] // 4, seen.size[1] // 4)
    early, late = (
        _resized(_mask(seen, place, masking), grid, masking.mask) for place in _places(seen)
    )
    return early, late


def reduced(seen: Look) -> Look:
    """Return a look with all that ``saliency`` takes of it, whatever the masking.

    Of each of the two places: ``PLACE.peak`` ``[B, 1, h, w]``, the largest value over the
    channels, and ``PLACE.moments`` ``[B, 2, 1, 1]``, mean and standard deviation.

    Args:
        seen: A look with what ``saliency_wants`` names.
    """
    maps: dict[str, Tensor] = {}
    for place in _places(seen):
        peaks = _peaks(seen, place)
        maps[f"{place}.peak"] = peaks.highest[:, None]
        maps[f"{place}.moments"] = torch.stack([peaks.mean, peaks.deviation], dim=1)
    return replace(seen, maps=maps, attention=())


def reduced_to_bits(seen: Look, masking: Masking) -> Look:
    """Return a look with the hard masks of both places: ``PLACE.above-KAPPA`` ``[B, 1, h, w]``.

    Args:
        seen: A look with what ``saliency_wants`` names.
        masking: Where the threshold lies.
    """
    maps = {
        _bits(place, masking): (_above(seen, place, masking) > 0)[:, None]
        for place in _places(seen)
    }
    return replace(seen, maps=maps, attention=())


@dataclass(frozen=True)
class _Peaks:
    """Largest values over the channels ``[B, h, w]``, mean and deviation ``[B, 1, 1]``."""

    highest: Tensor
    mean: Tensor
    deviation: Tensor


def _places(seen: Look) -> tuple[str, str]:
    """Return the names of the early and of the late place."""
    attends = bool(seen.attention) or any(name.startswith(ATTENDED[0]) for name in seen.maps)
    return ATTENDED if attends else MAPS


def _mask(seen: Look, place: str, masking: Masking) -> Tensor:
    """Return R of a place, ``[B, h, w]`` (eq. 2)."""
    bits = seen.maps.get(_bits(place, masking))
    if bits is not None:
        return bits[:, 0].to(torch.promote_types(seen.logits.dtype, torch.float32))
    above = _above(seen, place, masking)
    hard = (above > 0).to(above.dtype)
    if masking.mask == "hard":
        return hard
    soft = torch.sigmoid(above / masking.tau)
    return soft if masking.mask == "soft" else hard + soft - soft.detach()


def _above(seen: Look, place: str, masking: Masking) -> Tensor:
    """Return by how many deviations a place lies above the threshold, ``[B, h, w]``."""
    peaks = _peaks(seen, place)
    return (peaks.highest - peaks.mean) / peaks.deviation - _kappa(place, masking)


def _peaks(seen: Look, place: str) -> _Peaks:
    if f"{place}.peak" in seen.maps:
        moments = seen.maps[f"{place}.moments"]
        return _Peaks(seen.maps[f"{place}.peak"][:, 0], moments[:, 0], moments[:, 1])
    maps = _exact(_attention(seen, place) if seen.attention else seen.maps[place])
    mean = maps.mean(dim=(1, 2, 3))[:, None, None]
    deviation = (maps.var(dim=(1, 2, 3), correction=0) + _LEAST).sqrt()[:, None, None]
    return _Peaks(maps.amax(dim=1), mean, deviation)


def _kappa(place: str, masking: Masking) -> float:
    return masking.kappa_attention if place in ATTENDED else masking.kappa


def _bits(place: str, masking: Masking) -> str:
    return f"{place}.above-{_kappa(place, masking)}"


def _attention(seen: Look, place: str) -> Tensor:
    """Return the mean attention of the first or the last third of the blocks (eq. 3)."""
    third = max(1, len(seen.attention) // 3)
    return _mean(seen.attention[:third] if place == ATTENDED[0] else seen.attention[-third:])


def _mean(maps: Sequence[Tensor]) -> Tensor:
    """Return the mean of maps ``[B, h, w]``, times the places, as ``[B, 1, h, w]``.

    Weights of many places are small; times their number they are of the size of other maps.
    """
    sides = (maps[0].shape[1], maps[0].shape[2])
    same = [_resized(_exact(one), sides, "soft") for one in maps]
    return torch.stack(same).mean(dim=0)[:, None] * (sides[0] * sides[1])


def _resized(masks: Tensor, grid: tuple[int, int], mask: str) -> Tensor:
    """Return masks ``[B, h, w]`` on a grid: soft ones bilinear, hard ones nearest."""
    if masks.shape[1:] == torch.Size(grid):
        return masks
    if mask == "soft":
        return F.interpolate(masks[:, None], grid, mode="bilinear", align_corners=False)[:, 0]
    return F.interpolate(masks[:, None], grid, mode="nearest-exact")[:, 0]


def _exact(maps: Tensor) -> Tensor:
    """Return maps in at least float32: 16 bits are too coarse for their moments."""
    return maps.to(torch.promote_types(maps.dtype, torch.float32))
