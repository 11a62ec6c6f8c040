"""What a network answers to images that are seen through masks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdray.explain._subject import Subject, batch_of, numbers
from kdray.maps.scorecam import Through
from kdray.runtime import Precision


def looking(
    subject: Subject, images: Tensor, batch_size: int | None, precision: Precision
) -> Through:
    """Return what gives the logits ``[n, C]`` of one of the images seen through each mask.

    Args:
        subject: The classifier.
        images: ``[B, c, H, W]``.
        batch_size: Masked images in one forward pass; None: as many as are fastest.
        precision: Arithmetic of the network.
    """

    def through(number: int, masks: NDArray[np.float32]) -> NDArray[np.float32]:
        image = images[number]
        wanted = torch.from_numpy(masks).to(image)
        logits = [
            subject.seen_through(some.contiguous(), image[None], len(masks), precision)
            for some in torch.split(wanted, batch_size or batch_of(image))
        ]
        return numbers(torch.cat(logits))

    return through
