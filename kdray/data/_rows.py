"""One image of a source with what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kdray.images import Pixels


@dataclass(frozen=True)
class Row:
    """One image of a source.

    Args:
        id: Name of the image, unique in its source and the same on every machine.
        label: Name of the class.
        read: Gives the pixels, uint8 ``[H, W]`` or ``[H, W, 3]``, or the bytes of an image file.
        split: The split that the source gives; None: kdray divides.
        group: What must stay on one side of a split: patient, lesion, slide.
        mask: Gives where the lesion is, bool ``[H, W]``.
    """

    id: str
    label: str
    read: Callable[[], Pixels | bytes]
    split: str | None = None
    group: str | None = None
    mask: Callable[[], NDArray[np.bool_]] | None = None
