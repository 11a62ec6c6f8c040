"""Random numbers that are a pure function of their names (splitmix64; Steele et al., 2014)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def uniform(
    seed: int, epoch: ArrayLike, indices: ArrayLike, num_draws: int
) -> NDArray[np.float64]:
    """Return random numbers in [0, 1), ``[B, num_draws]``, for the images ``indices`` ``[B]``.

    Each is a function of (seed, epoch, index, draw) alone: the same on every machine and in
    whatever batch the image stands. ``epoch`` is one for all images, or one each ``[B]``.
    """
    key = _mix(_mix(_word(seed)) ^ np.atleast_1d(_signed(epoch)))
    keys = _mix(key ^ _signed(indices))[:, None]
    draws = np.arange(num_draws, dtype=np.uint64)[None, :] * _GOLDEN
    bits: NDArray[np.uint64] = _mix(keys + draws) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def _word(value: int) -> NDArray[np.uint64]:
    # An array, not a scalar: arithmetic modulo 2^64 warns for scalars only.
    return np.array([value % 2**64], dtype=np.uint64)


def _signed(values: ArrayLike) -> NDArray[np.uint64]:
    return np.asarray(values, dtype=np.int64).astype(np.uint64)


def _mix(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    word = word + _GOLDEN
    word = (word ^ (word >> np.uint64(30))) * _FIRST
    word = (word ^ (word >> np.uint64(27))) * _SECOND
    return word ^ (word >> np.uint64(31))
