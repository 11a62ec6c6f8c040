"""An image as it came to pixels, or what was wrong with it.

What is decoded, and how, is what training decodes (``kdray.images``); stricter here: of a few
formats, of one frame, and never below ``MIN_SIDE``.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from kdray.dicom import decode_dicom, is_dicom
from kdray.errors import DataError, TooLarge
from kdray.images import upright
from kdray.jpeg import check_scans
from kdray_serve.refusal import Refusal
from kdray_serve.work import Pixels, Upload

#: What is decoded; none of them starts another program (as EPS does) or reads another file.
FORMATS = (
    "JPEG",
    "PNG",
    TiffImagePlugin.TiffImageFile.format,  # naming its class loads one plugin instead of all 40
    WebPImagePlugin.WebPImageFile.format,
    "BMP",
    "GIF",
)
#: What Pillow calls them; MPO: with a preview beside the photograph.
_JPEG = ("JPEG", "MPO")
#: An image with a smaller side tells a model nothing.
MIN_SIDE = 8
_NAMED = "PNG, JPEG, TIFF, BMP, WebP or DICOM"
#: Of the transfer syntax that is unpacked whole, however large, before it can be looked at.
_DEFLATED = b"1.2.840.10008.1.2.1.99"
#: All that the decoders of Pillow and pydicom raise for damaged files.
_BROKEN = (
    Image.DecompressionBombError,  # of a JPEG in a DICOM file
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Taken:
    """An image that can be used.

    Args:
        image: Upright: pixels ``[H, W]`` or ``[H, W, 3]``, or a picture, grey or RGB.
        sha256: Hash of the file.
    """

    image: Pixels | Image.Image
    sha256: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        if isinstance(self.image, Image.Image):
            return self.image.size
        return self.image.shape[1], self.image.shape[0]

    @property
    def pixels(self) -> Pixels:
        """The pixels, ``[H, W]`` or ``[H, W, 3]``."""
        return np.asarray(self.image)


def take(upload: Upload, max_pixels: int, window: tuple[float, float] | None = None) -> Taken:
    """Return the pixels of an image and the hash of its file.

    Args:
        upload: The image.
        max_pixels: Largest width times height.
        window: Centre and width of the values shown, for DICOM; None: the file's own.

    Raises:
        Refusal: It is too large (413), of no known format (415), or cannot be used (422).
    """
    content = upload.content
    if isinstance(content, np.ndarray):
        return Taken(_checked_array(content, max_pixels), fingerprint(upload))
    if not content:
        raise Refusal(422, "The image file is empty.")
    try:
        if not is_dicom(content):
            return Taken(_picture(content, max_pixels), fingerprint(upload))
        pixels = _dicom(content, max_pixels, window)
    except TooLarge as error:
        raise Refusal(413, f"The image {error.sentence()}") from error
    except DataError as error:
        raise Refusal(422, f"The image {error.sentence()}") from error
    _check_sides(pixels.shape[1], pixels.shape[0])
    return Taken(pixels, fingerprint(upload))


def fingerprint(upload: Upload) -> str:
    """Return the SHA-256 of an image file, or of pixels, hexadecimal."""
    content = upload.content
    if isinstance(content, np.ndarray):
        return hashlib.sha256(content.tobytes()).hexdigest()
    return hashlib.sha256(content).hexdigest()


def _checked_array(pixels: Pixels, max_pixels: int) -> Pixels:
    is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if not is_image or pixels.dtype != np.uint8:
        raise Refusal(
            422,
            f"Pixels of shape {list(pixels.shape)} and type {pixels.dtype} are no image: send "
            "bytes [height, width] or [height, width, 3].",
        )
    height, width = pixels.shape[:2]
    if width * height > max_pixels:
        allowed = f"more than {max_pixels:,}. Send a smaller one."
        raise Refusal(413, f"The image has {width * height:,} pixels, {allowed}")
    _check_sides(width, height)
    return pixels


def _dicom(content: bytes, max_pixels: int, window: tuple[float, float] | None) -> Pixels:
    if _DEFLATED in content:
        raise DataError(
            "image", "is a deflated DICOM file.", "Send it in another transfer syntax."
        )
    try:
        return decode_dicom(content, max_pixels=max_pixels, window=window)
    except _BROKEN as error:
        raise _undecodable(error) from error


def _picture(content: bytes, max_pixels: int) -> Image.Image:
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            _check_sides(image.width, image.height)
            _check_frames(image)
            if image.format in _JPEG:
                check_scans(content)
            return upright(image, max_pixels=max_pixels)
    except UnidentifiedImageError:
        known = f"Send {_NAMED}."
        raise Refusal(415, f"The file is no image that can be read here. {known}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refusal(413, "The image has far too many pixels.") from None
    except _BROKEN as error:
        raise _undecodable(error) from error


def _undecodable(error: BaseException) -> DataError:
    reason = str(error).rstrip(".") or type(error).__name__
    return DataError("image", f"cannot be decoded: {reason}.")


def _check_frames(image: Image.Image) -> None:
    """Refuse animations and stacks: which of the frames would the answer be about?"""
    # They are not counted: that reads the whole file, of TIFF in quadratic time.
    if getattr(image, "is_animated", False) and image.format not in _JPEG:
        raise Refusal(422, "The image holds several frames. Send each as its own file.")


def _check_sides(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        least = f"{MIN_SIDE} x {MIN_SIDE}"
        raise Refusal(
            422, f"The image has {width} x {height} pixels; at least {least} are needed."
        )
