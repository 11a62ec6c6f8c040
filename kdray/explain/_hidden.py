"""Images whose parts are hidden behind a baseline, and what the network answers to them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from kdray.explain._subject import Subject, numbers
from kdray.maps import hiding
from kdray.spec.terms import Baseline, Score


def baseline_of(images: Tensor, kind: Baseline) -> Tensor:
    """Return what stands for nothing in images ``[B, c, H, W]``, of their size.

    ``mean`` is 0, for images are standardised by the mean of the training images.
    """
    return torch.tensor(hiding.baseline_of(numbers(images), kind)).to(images)


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
    """Return logits, or probabilities, ``[n, C]``, with their gradients."""
    return logits.float() if score == "logit" else logits.float().softmax(dim=1)
