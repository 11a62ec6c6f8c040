"""DICOM images to 8 bits: rescaled, windowed, inverted where black is high (DICOM PS3.3 C.11)."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from kdray.errors import DataError, TooLarge
from kdray.jpeg import check_scans

_BROKEN = (
    Image.DecompressionBombError,
    AttributeError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OSError,
    KeyError,
    TypeError,
    EOFError,
    struct.error,
)
#: RLE Lossless, and what its table of segments and the items around it may take, bytes.
_RLE, _RLE_HEAD = "1.2.840.10008.1.2.5", 1024
_COLOURS = ("Red", "Green", "Blue")
#: All that pixels depend on. Nothing else is read: neither names of patients, nor the millions of
#: elements that a file can have.
_READ = (
    "SOPClassUID",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ModalityLUTSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in _COLOURS),
    *(f"{colour}PaletteColorLookupTableData" for colour in _COLOURS),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in _COLOURS),
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "PixelData",
)
Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]
Window = tuple[float, float]


def is_dicom(data: bytes) -> bool:
    """Return whether the bytes are a DICOM file: 128 bytes of preamble, then ``DICM``."""
    return data[128:132] == b"DICM"


def decode_dicom(
    data: bytes, *, max_pixels: int | None = None, window: Window | None = None
) -> Pixels:
    """Return the pixels of a DICOM file.

    Args:
        data: The bytes of the file.
        max_pixels: Largest width times height; checked before anything is decoded.
        window: Centre and width of the values shown; None: those of the file (the first of
            several), its look-up table, or else all of its values (8-bit ones as they are).

    Returns:
        uint8 ``[H, W]`` for grey images, ``[H, W, 3]`` for colour.

    Raises:
        DataError: The file holds no image, several frames, too many pixels, or pixels in a form
            that cannot be decoded here.
    """
    pydicom = _library()
    try:
        image = pydicom.dcmread(BytesIO(data), specific_tags=list(_READ))
        _check(image, max_pixels)
        pixels = image.pixel_array
        if image.get("SamplesPerPixel", 1) > 1 or _has_palette(image):
            return _colours(image, pixels)
        shown = _shown(image, pixels, window)
    except (*_BROKEN, pydicom.errors.BytesLengthException) as error:
        problem = f"is DICOM that cannot be decoded: {str(error).rstrip('.')}."
        raise DataError("image", problem) from error
    if image.PhotometricInterpretation == "MONOCHROME1":
        np.subtract(255, shown, out=shown)
    return np.clip(np.rint(shown, out=shown), 0, 255, out=shown).astype(np.uint8)


def _library() -> Any:
    import pydicom  # slow to import, and rarely needed

    return pydicom


def _check(image: Any, max_pixels: int | None) -> None:
    if "PixelData" not in image:
        raise DataError("image", "is a DICOM file without pixels.")
    frames = int(image.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise DataError(
            "image", f"is a DICOM file of {frames} frames.", "Save each frame as its own file."
        )
    pixels = int(image.Rows) * int(image.Columns)
    if max_pixels is not None and pixels > max_pixels:
        raise TooLarge(
            "image", f"has {pixels:,} pixels, more than {max_pixels:,}.", "Send a smaller one."
        )
    if image.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_compressed(image, pixels)


def _check_compressed(image: Any, pixels: int) -> None:
    """Refuse compressed pixels that would become more than the file says."""
    if image.file_meta.TransferSyntaxUID == _RLE:
        plain = pixels * int(image.get("SamplesPerPixel", 1)) * (int(image.BitsAllocated) // 8)
        if len(image.PixelData) > 2 * plain + _RLE_HEAD:
            raise DataError("image", "is a DICOM file with more pixels than it has room for.")
        return
    check_scans(image.PixelData)
    try:
        with Image.open(BytesIO(_frame(image)), formats=("JPEG", "JPEG2000")) as frame:
            wide, high = frame.size
    except UnidentifiedImageError:
        return  # pydicom says which decoder it would need
    if (wide, high) != (image.Columns, image.Rows):
        said = f"{image.Columns} x {image.Rows}"
        problem = f"is a DICOM file of {said} pixels that holds {wide} x {high}."
        raise DataError("image", problem)


def _frame(image: Any) -> bytes:
    """Return the file of the first frame, as pydicom finds it."""
    from pydicom.encaps import get_frame

    tables = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
    offsets = tuple(image[name].value for name in tables if name in image)
    found = offsets if len(offsets) == len(tables) else None
    frame: bytes = get_frame(image.PixelData, 0, extended_offsets=found, number_of_frames=1)
    return frame


def _has_palette(image: Any) -> bool:
    return bool(image.PhotometricInterpretation == "PALETTE COLOR")


def _colours(image: Any, pixels: NDArray[Any]) -> Pixels:
    """Return a colour image's pixels, of YBR ones already turned to RGB by pydicom."""
    if _has_palette(image):
        from pydicom.pixels import apply_color_lut

        pixels = apply_color_lut(pixels, image)
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    return np.ascontiguousarray(pixels[:, :, :3], dtype=np.uint8)


def _shown(image: Any, pixels: NDArray[Any], window: Window | None) -> Values:
    """Return grey values 0..255, before the inversion of MONOCHROME1."""
    from pydicom.pixels import apply_modality_lut, apply_voi

    values = np.require(apply_modality_lut(pixels, image), np.float64, "W")
    window = window or _own_window(image)
    if window is not None:
        return _windowed(values, window, str(image.get("VOILUTFunction", "LINEAR")))
    if image.get("VOILUTSequence"):
        values = np.require(apply_voi(values.astype(np.int64), image), np.float64, "W")
    elif int(image.BitsStored) <= 8 and np.array_equal(values, pixels):
        return values
    span, low = float(np.ptp(values)), values.min()
    values -= low
    values *= 255 / span if span else 0
    return values


def _own_window(image: Any) -> Window | None:
    centre, width = image.get("WindowCenter"), image.get("WindowWidth")
    if centre is None or width is None:
        return None
    first = [one if isinstance(one, int | float) else one[0] for one in (centre, width)]
    return float(first[0]), float(first[1])


def _windowed(values: Values, window: Window, function: str) -> Values:
    """Return values between black and white by PS3.3 C.11.2.1.2 and C.11.2.1.3, in their place.

    In their place: an image of 50 million pixels would take gigabytes else.
    """
    centre, width = window
    if function == "SIGMOID":
        return 255 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function != "LINEAR_EXACT":
        centre, width = centre - 0.5, max(width - 1, 1e-9)
    values -= centre
    values /= width
    values += 0.5
    np.clip(values, 0, 1, out=values)
    values *= 255
    return values
