"""Views: whole batches augmented at once, each image's view named by (seed, view, index)."""

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
_SHARPNESS, _BLUR = 8, 9
_DRAWS = 10
#: Standard deviations of a blur, pixels: the defaults of torchvision's GaussianBlur.
_SIGMA = (0.1, 2.0)


class Views:
    """Turns stored images into what a network sees.

    Order of the changes: flips; rotation, zoom and shift in one bilinear resampling, with the
    border repeated outside; sharpness; blur; brightness as a factor; contrast as a factor about
    ``mean``; limits of the 8-bit range; standardisation.

    Args:
        augment: Largest changes of a training image.
        seed: Names the views, with their number and the image's place.
        mean: What pixels are standardised by, 0..1, one a channel.
        std: The same of the deviation.
        device: Where the batches are made.
        number: How many views an image has: epoch e shows view e - 1 modulo this, and an image
            drawn again in an epoch the view after; None: no view is ever shown twice.
    """

    def __init__(
        self,
        augment: Augment,
        seed: int,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device | str = "cpu",
        number: int | None = None,
    ) -> None:
        self.augment = augment
        self.number = number
        self.seed = seed
        self.device = torch.device(device)
        self._mean = np.array(mean, dtype=np.float64)
        self._std = np.array(std, dtype=np.float64)

    def train(self, images: Pixels, view: ArrayLike, indices: ArrayLike) -> Tensor:
        """Return views of training images, standardised.

        Args:
            images: uint8 ``[B, H, W, c]``.
            view: Number of the view, one for all images or one each ``[B]``.
            indices: The images' places in the data set ``[B]``.

        Returns:
            float32 ``[B, c, H, W]``; on one kind of device the same to the last bit in any batch.
        """
        draws = uniform(self.seed, view, indices, _DRAWS)
        maps = _floats(self._flipped(self._upload(images), draws))
        maps = self._warped(maps, draws)
        maps = self._blurred(self._sharpened(maps, draws), draws)
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

    def _sharpened(self, maps: Tensor, draws: NDArray[np.float64]) -> Tensor:
        """Return half of the maps away from (or towards) their smoothed selves, as Pillow does.

        ``factor * image + (1 - factor) * smoothed``, where smoothing weighs a pixel 5 and its
        neighbours 1 each, and the outermost pixels stay.
        """
        factor = self.augment.sharpness
        if factor == 1 or min(maps.shape[2:]) < 3:
            return maps
        inner = maps[:, :, 1:-1, 1:-1]
        total = inner * 4
        for down in range(3):
            for right in range(3):
                total += _window(maps, down, right)
        chosen = torch.from_numpy(draws[:, _SHARPNESS] < 0.5).to(self.device)[:, None, None, None]
        sharp = (inner * factor + total * ((1 - factor) / 13)).clamp_(0, 255)
        result = maps.clone()
        result[:, :, 1:-1, 1:-1] = torch.where(chosen, sharp, inner)
        return result

    def _blurred(self, maps: Tensor, draws: NDArray[np.float64]) -> Tensor:
        """Return the maps under a Gaussian of their own, across and down, the border mirrored."""
        side = self.augment.blur
        if not side:
            return maps
        half = side // 2
        sigma = _SIGMA[0] + draws[:, [_BLUR]] * (_SIGMA[1] - _SIGMA[0])
        weights = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
        weights /= weights.sum(axis=1, keepdims=True)
        for axis in (2, 3):
            size = maps.shape[axis]
            # Sums of shifted maps, not a convolution: its rounding depends on the batch.
            total = torch.zeros_like(maps)
            for step in range(side):
                shifted = maps.index_select(axis, self._mirrored(size, step - half))
                total += shifted * self._tensor(weights[:, [step]])[:, :, None, None]
            maps = total
        return maps

    def _mirrored(self, size: int, step: int) -> Tensor:
        """Return the places 0..size-1 moved by ``step``, mirrored at the first and last."""
        places = np.abs(np.arange(size) + step)
        period = max(1, 2 * (size - 1))
        places = np.minimum(places % period, period - places % period)
        return torch.from_numpy(places).to(self.device)

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


def _window(maps: Tensor, down: int, right: int) -> Tensor:
    """Return the maps without their outermost pixels, moved by -1, 0 or 1 each way (0..2)."""
    height, width = maps.shape[2:]
    return maps[:, :, down : height - 2 + down, right : width - 2 + right]


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
