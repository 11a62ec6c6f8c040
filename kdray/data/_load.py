"""Rows of a source to pixels of one size, on all cores, into a scratch file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdray.data._duplicates import THUMBNAIL
from kdray.data._rows import Row
from kdray.errors import DataError
from kdray.images import Pixels, decode, fit, fit_mask
from kdray.spec.experiment import Data

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Loaded:
    """The readable images of a source.

    Args:
        rows: Their rows, ``[N]``.
        records: ``[N]`` of ``image`` uint8 ``[H, W, c]`` and, where the source has masks,
            ``mask`` uint8 ``[H, W]``; memory-mapped.
        digests: Hashes of the pixels of image and mask, ``[N]`` of (image, mask).
        thumbnails: Grey images for comparison, uint8 ``[N, 64, 64]``.
        sums: Sums of the pixels and of their squares, int64 ``[N, 2, c]``.
        bad: What could not be read: ``id`` and ``problem``.
    """

    rows: tuple[Row, ...]
    records: NDArray[np.void]
    digests: tuple[tuple[bytes, bytes], ...]
    thumbnails: Pixels
    sums: NDArray[np.int64]
    bad: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class _Seen:
    digests: tuple[bytes, bytes]
    thumbnail: Pixels
    sums: NDArray[np.int64]


def load(
    rows: Sequence[Row], data: Data, scratch: Path, progress: Progress | None = None
) -> Loaded:
    """Return the images of ``rows``, decoded and resized into the new file ``scratch``.

    Args:
        rows: One or more rows.
        data: Says size, channels and window.
        scratch: A file to make; must outlive the result.
        progress: Told how many of how many images are done.
    """
    size, channels = data.image_size, data.channels
    window = None if data.window is None else (data.window.center, data.window.width)
    fields: list[Any] = [("image", np.uint8, (size, size, channels))]
    if any(row.mask for row in rows):
        fields.append(("mask", np.uint8, (size, size)))
    records = np.memmap(scratch, dtype=np.dtype(fields), mode="w+", shape=(len(rows),))
    seen: list[_Seen] = []
    kept: list[int] = []
    bad: list[dict[str, str]] = []
    for place, result in enumerate(_in_threads(rows, records, window, progress)):
        if isinstance(result, _Seen):
            # Bad images leave no gap: what comes after them moves up.
            if len(kept) != place:
                records[len(kept)] = records[place]
            kept.append(place)
            seen.append(result)
        else:
            bad.append({"id": rows[place].id, "problem": result})
    return Loaded(
        rows=tuple(rows[place] for place in kept),
        records=records[: len(kept)],
        digests=tuple(item.digests for item in seen),
        thumbnails=np.array([item.thumbnail for item in seen], dtype=np.uint8),
        sums=np.array([item.sums for item in seen], dtype=np.int64),
        bad=tuple(bad),
    )


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_threads(
    rows: Sequence[Row],
    records: NDArray[np.void],
    window: tuple[float, float] | None,
    progress: Progress | None,
) -> Iterator[_Seen | str]:
    step = max(1, len(rows) // 100)
    pool = ThreadPoolExecutor(cores())
    try:
        for done, result in enumerate(pool.map(partial(_read, window), rows, records), start=1):
            yield result
            if progress is not None and (done % step == 0 or done == len(rows)):
                progress(done, len(rows))
    finally:
        pool.shutdown(cancel_futures=True)


def _read(window: tuple[float, float] | None, row: Row, record: np.void) -> _Seen | str:
    """Read one row into its record; return what was seen, or why it could not be read."""
    try:
        image = _pixels(row.read(), window)
        mask = row.mask() if row.mask else None
    except DataError as error:
        return error.sentence()
    except OSError as error:
        return f"cannot be read: {error.strerror or error}."
    size, _, channels = record["image"].shape
    fitted = fit(image, size, channels)
    record["image"] = fitted
    fitted_mask = b""
    if mask is not None:
        record["mask"] = fit_mask(mask, size)
        fitted_mask = record["mask"].tobytes()
    return _Seen(
        digests=(_digest(fitted.tobytes()), _digest(fitted_mask)),
        thumbnail=fit(image, THUMBNAIL, 1)[:, :, 0],
        sums=_sums(fitted),
    )


def _pixels(data: Pixels | bytes, window: tuple[float, float] | None) -> Pixels:
    if isinstance(data, bytes):
        return decode(data, window=window)
    colours = data.shape[2:]
    if data.dtype != np.uint8 or colours not in ((), (3,)) or data.size == 0:
        raise DataError("image", f"is an array {data.dtype} {data.shape}, not uint8 [H, W(, 3)].")
    return data


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _sums(image: Pixels) -> NDArray[np.int64]:
    """Return sum and sum of squares of each channel, exact, ``[2, c]``."""
    values = np.arange(256, dtype=np.int64)
    counts = np.stack(
        [np.bincount(image[:, :, c].ravel(), minlength=256) for c in range(image.shape[2])], axis=1
    )
    return np.stack([values @ counts, values**2 @ counts])
