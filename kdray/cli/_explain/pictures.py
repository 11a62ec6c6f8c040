"""Pictures of maps: over their image, and teacher beside student."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kdray.cli._explain.maps import Map
from kdray.infer import Images
from kdray.maps import overlay

_SIDE = 320
_GAP = 8
_FONT = 14


def png(picture: Images) -> bytes:
    """Return pixels ``[H, W]`` or ``[H, W, 3]`` as a PNG file."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def side_by_side(pixels: Images, maps: Sequence[tuple[str, Map]]) -> Images:
    """Return the image and each map over it in a row, with titles, ``[h, w, 3]``.

    Args:
        pixels: The image, ``[H, W]`` or ``[H, W, 3]``.
        maps: (title, map); one that shows nothing gives an empty field that says so.
    """
    image = _fitted(pixels)
    panels = [("image", image)]
    for title, found in maps:
        if found.values is None:
            panels.append((f"{title}: no map", _empty(image.size)))
        else:
            picture = overlay(np.asarray(image), np.ascontiguousarray(found.values))
            panels.append((title, Image.fromarray(picture)))
    return _row(panels)


def _fitted(pixels: Images) -> Image.Image:
    picture = Image.fromarray(pixels).convert("RGB")
    scale = _SIDE / max(picture.size)
    size = [max(1, round(side * scale)) for side in picture.size]
    return picture.resize((size[0], size[1]), Image.Resampling.BILINEAR)


def _empty(size: tuple[int, int]) -> Image.Image:
    field = Image.new("RGB", size, "#eeeeee")
    corner = (size[0] - 1, size[1] - 1)
    ImageDraw.Draw(field).line([(0, 0), corner], fill="#bbbbbb")
    return field


def _row(panels: Sequence[tuple[str, Image.Image]]) -> Images:
    font = ImageFont.load_default(_FONT)
    head = _FONT + 2 * _GAP
    widths = [max(_SIDE, picture.width) for _, picture in panels]
    height = head + max(picture.height for _, picture in panels) + _GAP
    whole = Image.new("RGB", (sum(widths) + _GAP * (len(panels) + 1), height), "white")
    draw, left = ImageDraw.Draw(whole), _GAP
    for (title, picture), width in zip(panels, widths, strict=True):
        draw.text((left, _GAP), _shortened(title, font, width), fill="black", font=font)
        whole.paste(picture, (left + (width - picture.width) // 2, head))
        left += width + _GAP
    return np.asarray(whole)


def _shortened(title: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(title) <= width:
        return title
    kept = next(n for n in range(len(title), -1, -1) if font.getlength(title[:n] + "...") <= width)
    return title[:kept] + "..."
