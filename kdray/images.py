"""Bytes of an image file to pixels, and pixels to the size that a model sees."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from kdray.dicom import decode_dicom, is_dicom
from kdray.errors import DataError, TooLarge

Pixels = NDArray[np.uint8]
#: Names of files that are taken for images.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".dcm")
_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def decode(
    data: bytes, *, max_pixels: int | None = None, window: tuple[float, float] | None = None
) -> Pixels:
    """Return the pixels of an image file, upright (EXIF orientation applied), without alpha.

    Args:
        data: The bytes of the file.
        max_pixels: Largest width times height; checked before anything is decoded.
        window: Centre and width of the values shown, for DICOM; None: the file's own.

    Returns:
        uint8 ``[H, W]`` for grey images, ``[H, W, 3]`` for colour.

    Raises:
        DataError: The bytes are no readable image, or one with more than 8 bits, several frames
            or too many pixels.
    """
    if is_dicom(data):
        return decode_dicom(data, max_pixels=max_pixels, window=window)
    try:
        with Image.open(BytesIO(data)) as image:
            return np.asarray(upright(image, max_pixels=max_pixels))
    except UnidentifiedImageError as error:  # its text has an address of memory
        raise DataError("image", "cannot be decoded: its format is unknown.") from error
    except _BROKEN as error:
        raise DataError("image", f"cannot be decoded: {str(error).rstrip('.')}.") from error


def upright(image: Image.Image, *, max_pixels: int | None = None) -> Image.Image:
    """Return an opened image file as ``decode`` does: decoded, grey or RGB, upright.

    Args:
        image: The file; it is decoded here, and may be what is returned.
        max_pixels: Largest width times height; checked before anything is decoded.

    Raises:
        DataError: It has more than 8 bits, several frames or too many pixels.
    """
    _check(image, max_pixels)
    ImageOps.exif_transpose(image, in_place=True)
    mode = "L" if image.mode in _GREY else "RGB"
    return image if image.mode == mode else image.convert(mode)


def decode_mask(data: bytes) -> NDArray[np.bool_]:
    """Return where a mask file is set, bool ``[H, W]``: not 0, or above 127 in a JPEG.

    Raises:
        DataError: The bytes are no readable image.
    """
    image = decode(data)
    grey = image if image.ndim == 2 else image.max(axis=2)
    is_jpeg = data[:2] == b"\xff\xd8"  # lossy: background is not exactly 0
    return np.asarray(grey > (127 if is_jpeg else 0))


def fit(image: Pixels | Image.Image, size: int, channels: int) -> Pixels:
    """Return ``image`` squashed to a square by antialiased bilinear resizing.

    Args:
        image: uint8 ``[H, W]`` or ``[H, W, 3]``; or a picture, grey or RGB, which saves a copy.
        size: Height and width of the result, pixels.
        channels: 1 (luma of ITU-R 601) or 3 (grey is repeated).

    Returns:
        uint8 ``[size, size, channels]``.
    """
    if isinstance(image, Image.Image):
        picture = image
    else:
        picture = Image.fromarray(np.ascontiguousarray(image))
    if channels == 1 and picture.mode == "RGB":
        picture = picture.convert("L")
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], channels, axis=2)
    return pixels


def fit_mask(mask: NDArray[np.bool_], size: int) -> Pixels:
    """Return a mask bool ``[H, W]`` at the nearest pixels of a square, 0 or 1 ``[size, size]``."""
    picture = Image.fromarray(mask.astype(np.uint8))
    return np.asarray(picture.resize((size, size), Image.Resampling.NEAREST))


def _check(image: Image.Image, max_pixels: int | None) -> None:
    pixels = image.width * image.height
    if max_pixels is not None and pixels > max_pixels:
        raise TooLarge(
            "image", f"has {pixels:,} pixels, more than {max_pixels:,}.", "Send a smaller one."
        )
    if image.mode not in _GREY + _COLOUR:
        raise DataError(
            "image",
            f"has pixels of mode {image.mode!r}, not of 8 bits.",
            "Choose a window and convert it to 8 bits first.",
        )
    if image.format == "TIFF" and getattr(image, "is_animated", False):
        raise DataError("image", "holds several frames.", "Save each frame as its own file.")
