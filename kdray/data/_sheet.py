"""A contact sheet: images in rows, a title over each row."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from kdray.images import Pixels

_GAP, _TITLE, _SIDE = 4, 18, 96


def contact_sheet(rows: Sequence[tuple[str, Pixels]]) -> Image.Image:
    """Return a picture of rows of images.

    Args:
        rows: A title and images uint8 ``[n, H, W, c]`` for each row; all images of one size.
    """
    height, width = rows[0][1].shape[1:3]
    scale = max(1, -(-_SIDE // width))  # small images are enlarged by whole pixels
    across, down = width * scale + _GAP, height * scale + _GAP + _TITLE
    columns = max(len(images) for _, images in rows)
    sheet = Image.new("RGB", (columns * across + _GAP, len(rows) * down + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for line, (title, images) in enumerate(rows):
        draw.text((_GAP, line * down + 2), title, fill="black", font=font)
        for column, image in enumerate(images):
            tile = Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0])
            tile = tile.resize((width * scale, height * scale), Image.Resampling.NEAREST)
            sheet.paste(tile, (_GAP + column * across, line * down + _TITLE))
    return sheet
