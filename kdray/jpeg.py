"""How much work the JPEG in a file is, before it is decoded."""

from __future__ import annotations

from kdray.errors import DataError

#: Start of a scan. Inside compressed data 0xFF is followed by 0, so it stands nowhere else.
_SCAN = b"\xff\xda"
#: Progressive files have a dozen; as many as libtiff allows.
MOST_SCANS = 100


def check_scans(data: bytes) -> None:
    """Refuse a JPEG that goes over its pixels again and again.

    A scan of some bytes can cost a pass over all pixels: a small file then takes hours.

    Args:
        data: The bytes of the file.

    Raises:
        DataError: It has more than ``MOST_SCANS`` scans.
    """
    scans = data.count(_SCAN)
    if scans > MOST_SCANS:
        problem = f"is a JPEG of {scans:,} scans; at most {MOST_SCANS} are decoded."
        raise DataError("image", problem, "Save it again as a baseline JPEG.")
