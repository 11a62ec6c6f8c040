"""Images whose parts are hidden behind a baseline, and what the network answers to them."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

import torch
from torch import Tensor

from kdray.explain._maps import ROUNDING
from kdray.explain._subject import Subject
from kdray.spec.terms import Baseline, Score, Sign

#: Standard deviation of the blur, as a share of the image's height: 11 px at 224.
BLUR = 0.05


def baseline_of(images: Tensor, kind: Baseline) -> Tensor:
    """Return what stands for nothing in images ``[B, c, H, W]``, of their size.

    ``mean`` is 0, for images are standardised by the mean of the training images.
    """
    if kind == "mean":
        return torch.zeros_like(images)
    if kind == "darkest":
        return images.amin(dim=(2, 3), keepdim=True).expand_as(images)
    from torchvision.transforms.functional import gaussian_blur  # slow to import

    sigma = BLUR * images.shape[2]
    reach = min(ceil(3 * sigma), min(images.shape[2:]) - 1)
    blurred: Tensor = gaussian_blur(images, [2 * reach + 1, 2 * reach + 1], [sigma, sigma])
    return blurred


def logits_behind(
    subject: Subject, image: Tensor, baseline: Tensor, kept: Iterable[Tensor], planned: int
) -> Tensor:
    """Return the logits ``[n, C]`` of an image with parts hidden.

    Args:
        subject: The classifier.
        image: ``[c, H, W]``.
        baseline: What is seen of hidden places, ``[c, H, W]``.
        kept: Batches of masks, bool ``[b, H, W]``: the places that stay.
        planned: How many images the caller is about to ask for.
    """
    with torch.no_grad():
        logits = [
            subject.forward(torch.where(some[:, None], image, baseline), planned) for some in kept
        ]
    return torch.cat(logits)


def scores_of(logits: Tensor, score: Score) -> Tensor:
    """Return logits, or probabilities, ``[n, C]``."""
    return logits.float() if score == "logit" else logits.float().softmax(dim=1)


def beyond_rounding(scores: Tensor) -> Tensor:
    """Return scores ``[n, C]``, those of a class all equal where they differ by rounding alone.

    The probability of a class that the network is sure of is 1 with anything hidden; what is left
    of it is noise, and no map.
    """
    spread = scores.amax(dim=0) - scores.amin(dim=0)
    return torch.where(spread <= ROUNDING * scores.abs().amax(dim=0), scores[:1], scores)


def signed(maps: Tensor, sign: Sign) -> Tensor:
    """Return the positive part of maps, or their absolute values."""
    return maps.relu() if sign == "positive" else maps.abs()


def nothing_speaks(maps: Tensor, signed_maps: Tensor, reason: str) -> dict[tuple[int, int], str]:
    """Return (image, place) -> the reason for maps ``[B, K, h, w]`` that lost all to their sign.

    A map that was 0 before is left to what every explanation says of blank maps.
    """
    lost = (signed_maps.flatten(2).amax(2) == 0) & (maps.flatten(2).abs().amax(2) > 0)
    return {(image, place): reason for image, place in torch.nonzero(lost).tolist()}
