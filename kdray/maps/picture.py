"""Maps as pictures to lay over an image."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kdray.errors import ExplainError
from kdray.maps.levels import shown_levels
from kdray.maps.palette import INFERNO

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
#: Least level that is seen at all, and the range of levels over which a place becomes opaque.
_SEEN, _RISE = 0.1, 0.5
#: Of zlib: a higher one makes files a tenth smaller in several times the time.
_COMPRESSION = 1


def heat_map(map_: Floats) -> Images:
    """Return a map ``[H, W]`` in 0..1 as colours ``[H, W, 4]`` (RGBA), transparent where low.

    A few values far above the rest have the colour of the highest (``shown_levels``).

    Raises:
        ExplainError: The map shows nothing: a picture of it would look like one that does.
    """
    return _coloured(_levels(map_), 1.0)


def heat_map_png(map_: Floats) -> bytes:
    """Return ``heat_map`` as a PNG file with a palette, which is small and quick to write.

    Raises:
        ExplainError: The map shows nothing.
    """
    picture = Image.fromarray(_levels(map_))
    picture.putpalette(INFERNO.tobytes())
    return _file(picture, transparency=_colours(1.0)[:, 3].tobytes())


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
    stretched = Image.fromarray(map_)
    if stretched.size != picture.size:
        stretched = stretched.resize(picture.size, Image.Resampling.BILINEAR)
    heat = Image.fromarray(_coloured(_levels(np.asarray(stretched)), opacity))
    picture.paste(heat, mask=heat)
    return np.asarray(picture)


def png(picture: Images) -> bytes:
    """Return colours ``[H, W, 3]`` or ``[H, W, 4]``, or grey ``[H, W]``, as a PNG file."""
    return _file(Image.fromarray(picture))


def _file(picture: Image.Image, **settings: bytes) -> bytes:
    stream = BytesIO()
    picture.save(stream, "PNG", compress_level=_COMPRESSION, **settings)
    return stream.getvalue()


def _levels(map_: Floats) -> Images:
    """Return which of the 256 colours each place has.

    Raises:
        ExplainError: The map shows nothing.
    """
    if not np.isfinite(map_).all():
        raise ExplainError("heat map", "a map that shows nothing cannot be drawn.")
    levels: Images = np.rint(shown_levels(map_) * 255).astype(np.uint8)
    return levels


def _coloured(levels: Images, opacity: float) -> Images:
    colours = _colours(opacity).view(np.uint32)[:, 0]  # of whole pixels, several times as quick
    return colours[levels].view(np.uint8).reshape(*levels.shape, 4)


@lru_cache(maxsize=16)
def _colours(opacity: float) -> Images:
    """Return the 256 colours with how opaque they are, ``[256, 4]``."""
    rise = (np.arange(256) / 255 - _SEEN) / _RISE
    shares = np.rint(rise.clip(0, 1) * opacity * 255).astype(np.uint8)
    return np.ascontiguousarray(np.column_stack([INFERNO, shares]))
