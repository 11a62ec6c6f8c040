"""Score-CAM's masks: a layer's channels, scaled to [0, 1], and the class scores seen through them.

A mask is kept at the layer's own size and enlarged only in the batch that needs it: scaling and
enlarging are both linear, so their order does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kdray.explain._seen import enlarging
from kdray.explain._subject import Subject, batch_of
from kdray.runtime import Precision

#: pytorch-grad-cam's guard against dividing by the range of a constant channel.
EPSILON = 1e-8
NEGATIVE = (
    "the weighted map is nowhere positive: the channels that the class weighs most are negative "
    "(hard-swish, SiLU and GELU give such maps)."
)


def masks_of(maps: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return channels ``[D, h, w]`` as masks, each in [0, 1] once enlarged to the image.

    A constant channel's mask is 0.

    Args:
        maps: ``[D, h, w]``.
        image_size: Height and width of the image.
    """
    rows, columns = (
        enlarging(small, large)[_beside_nodes(small, large)].to(maps)
        for small, large in zip(maps.shape[1:], image_size, strict=True)
    )
    enlarged = (rows @ maps @ columns.T).flatten(1)  # where the extremes of the whole can be
    low, high = enlarged.amin(dim=1), enlarged.amax(dim=1)
    flat = maps.flatten(1)
    is_constant = flat.amin(dim=1) == flat.amax(dim=1)
    masks = (maps - low[:, None, None]) / (high - low + EPSILON)[:, None, None]
    return torch.where(is_constant[:, None, None], 0.0, masks)


def logits_through(
    subject: Subject,
    image: Tensor,
    masks: Tensor,
    batch_size: int | None,
    precision: Precision = "float32",
) -> Tensor:
    """Return the logits ``[n, C]`` of one image seen through each mask.

    Args:
        subject: The classifier.
        image: ``[c, H, W]``.
        masks: ``[n, h, w]``, as ``masks_of`` gives them.
        batch_size: Masked images in one forward pass; None: as many as are fastest.
        precision: Arithmetic of the network.
    """
    size = batch_size or batch_of(image)
    return torch.cat(
        [
            subject.seen_through(some.contiguous(), image[None], len(masks), precision)
            for some in torch.split(masks, size)
        ]
    )


def distinct(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the masks ``[n, h, w]`` that differ, and for each of ``[D, h, w]`` which it is."""
    flat, places = torch.unique(masks.flatten(1), dim=0, return_inverse=True)
    return flat.reshape(-1, *masks.shape[1:]), places


def weighted(scores: Tensor, maps: Tensor) -> Tensor:
    """Return ``[K, h, w]``: sum_d softmax_d(scores)_dk A_d; the map is its positive part.

    Args:
        scores: ``[D, K]``: the class scores of each channel.
        maps: ``[D, h, w]``.
    """
    return torch.einsum("dk,dhw->khw", scores.softmax(dim=0), maps)


def nowhere_positive(sums: Tensor) -> Mapping[tuple[int, int], str]:
    """Return (image, place) -> the reason, for each map that is blank for its negative channels.

    Args:
        sums: ``[B, K, h, w]``, of ``weighted``.
    """
    is_negative = (sums.amax(dim=(2, 3)) <= 0) & (sums.amin(dim=(2, 3)) < 0)
    return {(image, place): NEGATIVE for image, place in torch.nonzero(is_negative).tolist()}


def _beside_nodes(small: int, large: int) -> Tensor:
    """Return the places of the enlarged axis next to the small one's, where extremes are."""
    steps = torch.arange(small) * (large - 1)
    span = max(small - 1, 1)
    places = {*(steps // span).tolist(), *(-(-steps // span)).tolist()}
    return torch.tensor(sorted(places))
