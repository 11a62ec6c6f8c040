"""Maps as pictures to lay over an image."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kdray.errors import ExplainError
from kdray.maps.levels import shown_levels

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]


def heat_map(map_: Floats) -> Images:
    """Return a map ``[H, W]`` in 0..1 as colours ``[H, W, 4]`` (RGBA), transparent where low.

    A few values far above the rest have the colour of the highest (``shown_levels``).

    Raises:
        ExplainError: The map shows nothing: a picture of it would look like one that does.
    """
    if not np.isfinite(map_).all():
        raise ExplainError("heat map", "a map that shows nothing cannot be drawn.")
    levels = shown_levels(map_)
    colours = _palette()[np.round(levels * 255).astype(np.uint8)]
    opacity = np.clip((levels - 0.1) / 0.5, 0, 1)
    return np.dstack([colours, np.round(opacity * 255).astype(np.uint8)])


def overlay(image: Images, map_: Floats, opacity: float = 0.6) -> Images:
    """Return an image with the heat map of ``map_`` stretched over it, RGB ``[H, W, 3]``.

    Args:
        image: Grey ``[H, W]`` or ``[H, W, 1]``, or colour ``[H, W, 3]``.
        map_: ``[h, w]`` in 0..1.
        opacity: Of the hottest places, 0..1.

    Raises:
        ExplainError: The map shows nothing.
    """
    grey = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    picture = Image.fromarray(grey).convert("RGB")
    stretched = Image.fromarray(map_).resize(picture.size, Image.Resampling.BILINEAR)
    heat = Image.fromarray(heat_map(np.asarray(stretched)))
    shares = heat.getchannel("A").point([round(level * opacity) for level in range(256)])
    picture.paste(heat.convert("RGB"), mask=shares)
    return np.asarray(picture)


@cache
def _palette() -> Images:
    """Return 256 colours ``[256, 3]`` of even steps in brightness, dark to bright."""
    from matplotlib import colormaps  # slow to import

    palette: Images = np.round(colormaps["inferno"](np.arange(256))[:, :3] * 255).astype(np.uint8)
    return palette
