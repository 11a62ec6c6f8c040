"""Deletion and insertion: how the answer moves as the hottest pixels go, or come.

Petsiuk et al., RISE, 2018, arXiv:1806.07421: pixels, all channels together, in descending order of
the map; ``ceil(H W / steps)`` at once; area under the probability by the trapezoid rule over the
share of pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Images = NDArray[np.uint8]
Numbers = NDArray[np.floating[Any]]
#: Images uint8 ``[N, H, W, c]`` to probabilities ``[N, C]``.
Probabilities = Callable[[Images], Numbers]


@dataclass(frozen=True)
class Removal:
    """How pixels are taken away.

    Args:
        steps: Equal shares of the pixels.
        batch_size: Changed images in one forward pass; no more are ever in memory.
        colour: What a deleted pixel becomes, one value a channel, 0..255; None: the image's own
            mean colour.
        blur: Standard deviation of the Gaussian, as a share of the image's side, that makes the
            image that insertion starts from; 0: it starts from ``colour`` everywhere.
    """

    steps: int = 20
    batch_size: int = 32
    colour: tuple[int, ...] | None = None
    blur: float = 0.1


@dataclass(frozen=True)
class Curves:
    """How the probability of the explained class moves.

    Args:
        shares: ``[steps + 1]``: share of the pixels deleted, or inserted, at each point.
        deletion: ``[N, steps + 1]``: the probability as the hottest pixels go.
        insertion: ``[N, steps + 1]``: as they come.
        removed: ``[N, steps]``: what of each map's sum goes at each step of the deletion.
        forwards: Images that went through the model.
    """

    shares: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    removed: NDArray[np.float64]
    forwards: int

    @property
    def deletion_auc(self) -> NDArray[np.float64]:
        """Area under each deletion curve ``[N]``."""
        return np.asarray(np.trapezoid(self.deletion, self.shares, axis=1))

    @property
    def insertion_auc(self) -> NDArray[np.float64]:
        """Area under each insertion curve ``[N]``."""
        return np.asarray(np.trapezoid(self.insertion, self.shares, axis=1))


@dataclass(frozen=True)
class _Job:
    """One changed image: its ``count`` hottest pixels are deleted (curve 0) or inserted (1)."""

    image: int
    curve: int
    count: int


def removal_curves(
    probabilities: Probabilities,
    images: Images,
    maps: Numbers,
    targets: NDArray[np.integer[Any]],
    before: Numbers,
    removal: Removal,
) -> Curves:
    """Return the deletion and insertion curves of maps that all show something.

    Args:
        probabilities: The model.
        images: ``[N, H, W, c]``.
        maps: ``[N, H, W]``, finite; at least one.
        targets: The explained class of each image ``[N]``.
        before: Probabilities of the images ``[N, C]``: where both curves have one of their ends.
        removal: How pixels are taken away.
    """
    rows = maps.reshape(len(maps), -1).astype(np.float64)
    counts = _counts(rows.shape[1], removal.steps)
    order = np.argsort(-rows, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(rows.shape[1])[None], axis=1)
    bare = np.stack([_bare(image, removal) for image in images])
    starts = bare if removal.blur == 0 else np.stack([_blurred(i, removal.blur) for i in images])
    curves = np.empty((2, *bare.shape[:1], len(counts)))
    start = before[np.arange(len(targets)), targets]
    curves[0, :, 0] = start
    curves[1, :, counts == counts[-1]] = start  # several points, where steps outnumber pixels
    jobs = list(_jobs(len(images), counts, removal.blur == 0))
    for first in range(0, len(jobs), removal.batch_size):
        some = jobs[first : first + removal.batch_size]
        changed = [
            _changed(images, bare if job.curve == 0 else starts, ranks, job) for job in some
        ]
        for job, seen in zip(some, probabilities(np.stack(changed)), strict=True):
            curves[job.curve, job.image, counts == job.count] = seen[targets[job.image]]
    if removal.blur == 0:
        curves[1, :, 0] = curves[0, :, -1]
    heat = np.take_along_axis(rows, order, axis=1).cumsum(axis=1)
    removed = np.diff(np.pad(heat, ((0, 0), (1, 0)))[:, counts], axis=1)
    return Curves(counts / rows.shape[1], curves[0], curves[1], removed, len(jobs))


def _counts(pixels: int, steps: int) -> NDArray[np.int64]:
    """Return how many pixels are changed at each of ``steps + 1`` points."""
    each = -(-pixels // steps)
    return np.minimum(np.arange(steps + 1) * each, pixels)


def _jobs(num_images: int, counts: NDArray[np.int64], same_ends: bool) -> Iterator[_Job]:
    """Yield each changed image once, though several points of a small image ask for the last."""
    points = np.unique(counts).tolist()
    for image in range(num_images):
        yield from (_Job(image, 0, count) for count in points[1:])
        yield from (_Job(image, 1, count) for count in points[same_ends:-1])


def _changed(images: Images, baselines: Images, ranks: NDArray[np.intp], job: _Job) -> Images:
    """Return an image without its hottest pixels, or with nothing but them."""
    image, baseline = images[job.image], baselines[job.image]
    gone = (ranks[job.image] < job.count).reshape(*image.shape[:2], 1)
    if job.curve == 1:
        gone = ~gone
    return np.asarray(np.where(gone, baseline, image))


def _bare(image: Images, removal: Removal) -> Images:
    """Return an image ``[H, W, c]`` of one colour."""
    mean = image.mean(axis=(0, 1)) if removal.colour is None else np.array(removal.colour)
    return np.broadcast_to(np.round(mean).astype(np.uint8), image.shape)


def _blurred(image: Images, share: float) -> Images:
    gaussian = ImageFilter.GaussianBlur(share * max(image.shape[:2]))
    channels = [Image.fromarray(channel).filter(gaussian) for channel in np.moveaxis(image, 2, 0)]
    return np.stack([np.asarray(channel) for channel in channels], axis=2)
