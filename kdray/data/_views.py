"""Views: whole batches augmented at once, each image's view named by (seed, epoch, index)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from kdray.data._random import uniform
from kdray.data._rows import Pixels
from kdray.spec.experiment import Augment

# Each change has its own draws: switching one on leaves the others as they were.
_HFLIP, _VFLIP, _ROTATE, _SHIFT_X, _SHIFT_Y, _ZOOM, _BRIGHTNESS, _CONTRAST = range(8)


class Views:
    """Turns stored images into what a network sees.

    Order of the changes: flips; rotation, zoom and shift in one bilinear resampling, with the
    border repeated outside; brightness as a factor; contrast as a factor about the mean of the
    train split; limits of the 8-bit range; standardisation.

    Args:
        augment: Largest changes of a training image.
        seed: Names the views, with epoch and index.
        mean: Of the train split, 0..1, one a channel.
        std: Of the train split, 0..1, one a channel.
        device: Where the batches are made.
    """

    def __init__(
        self,
        augment: Augment,
        seed: int,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device | str = "cpu",
    ) -> None:
        self.augment = augment
        self.seed = seed
        self.device = torch.device(device)
        self._mean = np.array(mean, dtype=np.float64)
        self._std = np.array(std, dtype=np.float64)

    def train(self, images: Pixels, epoch: int, indices: ArrayLike) -> Tensor:
        """Return views of training images, standardised.

        Args:
            images: uint8 ``[B, H, W, c]``.
            epoch: Number of the epoch.
            indices: The images' places in the data set ``[B]``.

        Returns:
            float32 ``[B, c, H, W]``; on one kind of device the same to the last bit in any batch.
        """
        draws = uniform(self.seed, epoch, indices, 8)
        maps = _floats(self._flipped(self._upload(images), draws))
        maps = self._warped(maps, draws)
        return self._toned(maps, draws)

    def plain(self, images: Pixels) -> Tensor:
        """Return images ``[B, H, W, c]`` as they are, standardised, float32 ``[B, c, H, W]``."""
        scale = np.ones((len(images), 1))
        return self._standardised(_floats(self._upload(images)), scale, scale)

    def _upload(self, images: Pixels) -> Tensor:
        return torch.from_numpy(np.require(images, np.uint8, ["C", "W"])).to(self.device)

    def _flipped(self, images: Tensor, draws: NDArray[np.float64]) -> Tensor:
        for wanted, draw, axis in (
            (self.augment.hflip, _HFLIP, 2),
            (self.augment.vflip, _VFLIP, 1),
        ):
            if wanted:
                chosen = torch.from_numpy(draws[:, draw] < 0.5).to(self.device)
                images = torch.where(chosen[:, None, None, None], images.flip(axis), images)
        return images

    def _warped(self, maps: Tensor, draws: NDArray[np.float64]) -> Tensor:
        augment = self.augment
        if augment.rotate == augment.shift == augment.zoom == 0:
            return maps
        angle = _spread(draws[:, _ROTATE], math.radians(augment.rotate))
        scale = 1 + _spread(draws[:, _ZOOM], augment.zoom)
        shift = 2 * _spread(draws[:, [_SHIFT_X, _SHIFT_Y]], augment.shift)
        cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
        height, width = maps.shape[2:]
        x = _places(cosine, sine, -shift, _centres(width))
        y = _places(-sine, cosine, np.zeros_like(shift), _centres(height))
        # Sums of rows and columns, not a matrix product: its rounding depends on the batch.
        grid = self._tensor(x)[:, None, :, :] + self._tensor(y)[:, :, None, :]
        return functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)

    def _toned(self, maps: Tensor, draws: NDArray[np.float64]) -> Tensor:
        brightness = 1 + _spread(draws[:, [_BRIGHTNESS]], self.augment.brightness)
        contrast = 1 + _spread(draws[:, [_CONTRAST]], self.augment.contrast)
        maps = self._standardised(maps, brightness, contrast)
        if self.augment.brightness == self.augment.contrast == 0:
            return maps
        darkest = self._channels(((0 - self._mean) / self._std)[None])
        brightest = self._channels(((1 - self._mean) / self._std)[None])
        return torch.clamp(maps, darkest, brightest)

    def _standardised(
        self, maps: Tensor, brightness: NDArray[np.float64], contrast: NDArray[np.float64]
    ) -> Tensor:
        """Return ``((maps/255 * brightness - mean) * contrast) / std`` in two passes."""
        factor = brightness * contrast / (255 * self._std)
        offset = -contrast * self._mean / self._std
        return maps.mul_(self._channels(factor)).add_(self._channels(offset))

    def _channels(self, values: NDArray[np.float64]) -> Tensor:
        """Return ``[B, c]`` as a float32 tensor ``[B, c, 1, 1]``."""
        return self._tensor(values)[:, :, None, None]

    def _tensor(self, values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(self.device)


def _floats(images: Tensor) -> Tensor:
    """Return ``[B, H, W, c]`` uint8 as contiguous float32 ``[B, c, H, W]``, 0..255."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)


def _spread(draws: NDArray[np.float64], largest: float) -> NDArray[np.float64]:
    """Return draws in [0, 1) as changes in [-largest, largest)."""
    return (2 * draws - 1) * largest


def _centres(size: int) -> NDArray[np.float64]:
    """Return the centres of pixels along a side that runs from -1 to 1."""
    return np.asarray((2 * np.arange(size) + 1) / size - 1)


def _places(
    right: NDArray[np.float64],
    down: NDArray[np.float64],
    shift: NDArray[np.float64],
    centres: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return what the centres ``[n]`` along a side add to where an image looks, ``[B, n, 2]``."""
    return np.stack([right, down], axis=1)[:, None, :] * centres[None, :, None] + shift[:, None, :]
