"""A pool's images on the device, where they fit: batches are gathered there."""

from __future__ import annotations

import weakref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdray.data import Pool

#: Images take at most this share of the memory that a process has left on its device.
_SHARE = 0.25
#: Images that are sent at a time.
_AT_ONCE = 256

_held: dict[tuple[int, str], Held] = {}


class Held:
    """The images of a pool, uint8, in the memory of a device.

    Args:
        pool: The pool; also what SMOTE adds.
        device: The device.
    """

    def __init__(self, pool: Pool, device: str) -> None:
        made = len(pool.dataset) + np.arange(len(pool.made))
        self._samples = np.concatenate([pool.places, made])
        self._cycle = pool.cycle
        self._images = torch.empty(len(pool), *shape_of(pool), dtype=torch.uint8, device=device)
        for start in range(0, len(pool), _AT_ONCE):
            some = self._samples[start : start + _AT_ONCE]
            self._images[start : start + _AT_ONCE] = torch.from_numpy(pool.images(some))

    def images(self, samples: NDArray[np.int64]) -> Tensor:
        """Return the images of ``samples`` ``[B]``, uint8 ``[B, H, W, c]``, on the device."""
        rows = torch.from_numpy(np.searchsorted(self._samples, samples % self._cycle))
        if self._images.is_cuda:
            rows = rows.pin_memory()
        return self._images[rows.to(self._images.device, non_blocking=True)]


def held(pool: Pool, device: str) -> Held | None:
    """Return a pool's images on a device, sent once a process; None where they do not fit."""
    if len(pool) * int(np.prod(shape_of(pool))) > _SHARE * room(device):
        return None
    key = (id(pool), device)
    if key not in _held:
        _held[key] = Held(pool, device)
        weakref.finalize(pool, _held.pop, key, None)
    return _held[key]


def room(device: str) -> float:
    """Return the bytes that this process may still take on a GPU; 0 on a CPU.

    In memory they would be copies: the data set's file is mapped there already.
    """
    if not device.startswith("cuda"):
        return 0
    free, total = torch.cuda.mem_get_info(device)
    share = torch.cuda.get_per_process_memory_fraction(device)
    return min(free, share * total - torch.cuda.memory_reserved(device))


def shape_of(pool: Pool) -> tuple[int, int, int]:
    """Return height, width and channels of a pool's images."""
    info = pool.dataset.info
    return info.image_size, info.image_size, info.channels
