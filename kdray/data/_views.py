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
from kdray.images import Pixels
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

    def train(self, images: Pixels | Tensor, view: ArrayLike, indices: ArrayLike) -> Tensor:
        """Return views of training images, standardised.

        Args:
            images: uint8 ``[B, H, W, c]``; a tensor may lie on the device already.
            view: Number of the view, one for all images or one each ``[B]``.
            indices: The images' places in the data set ``[B]``.

        Returns:
            float32 ``[B, c, H, W]``; on one kind of device the same to the last bit in any batch.
        """
        draws = uniform(self.seed, view, indices, _DRAWS)
        maps = self._moved(self._upload(images), draws)
        self._sharpen(maps, draws)
        maps, scale = self._blurred(maps, draws)
        return self._toned(maps, scale, draws)

    def plain(self, images: Pixels | Tensor) -> Tensor:
        """Return images ``[B, H, W, c]`` as they are, standardised, float32 ``[B, c, H, W]``."""
        scale = np.ones((len(images), 1))
        return self._standardised(_floats(self._upload(images)), scale, scale)

    def sent(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device; a GPU that is still busy is not waited for."""
        if self.device.type == "cuda" and not tensor.is_cuda:
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def _upload(self, images: Pixels | Tensor) -> Tensor:
        if not isinstance(images, Tensor):
            images = torch.from_numpy(np.require(images, np.uint8, ["C", "W"]))
        return self.sent(images)

    def _moved(self, images: Tensor, draws: NDArray[np.float64]) -> Tensor:
        """Return images ``[B, H, W, c]`` flipped, turned, zoomed and shifted, as floats."""
        augment = self.augment
        if augment.rotate == augment.shift == augment.zoom == 0:
            return _floats(self._flipped(images, draws))
        return self._warped(images.to(torch.float32).permute(0, 3, 1, 2), draws)

    def _flips(self, draws: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
        """Return which images are mirrored left and right, and top and bottom, ``[B]`` each."""
        wanted = ((self.augment.hflip, _HFLIP), (self.augment.vflip, _VFLIP))
        return [(draws[:, draw] < 0.5) & flip for flip, draw in wanted]

    def _flipped(self, images: Tensor, draws: NDArray[np.float64]) -> Tensor:
        for flips, axis in zip(self._flips(draws), (2, 1), strict=True):
            if flips.any():
                chosen = self.sent(torch.from_numpy(flips))
                images = torch.where(chosen[:, None, None, None], images.flip(axis), images)
        return images

    def _warped(self, maps: Tensor, draws: NDArray[np.float64]) -> Tensor:
        """Return the maps flipped, turned, zoomed and shifted, contiguous."""
        augment = self.augment
        angle = _spread(draws[:, _ROTATE], math.radians(augment.rotate))
        scale = 1 + _spread(draws[:, _ZOOM], augment.zoom)
        shift = 2 * _spread(draws[:, [_SHIFT_X, _SHIFT_Y]], augment.shift)
        cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
        mirror = np.where(np.stack(self._flips(draws), axis=1), -1.0, 1.0)
        height, width = maps.shape[2:]
        x = np.stack([cosine, sine], axis=1)[:, :, None] * _centres(width) - shift[:, :, None]
        y = np.stack([-sine, cosine], axis=1)[:, :, None] * _centres(height)
        across = self._tensor(x * mirror[:, :, None])
        down = self._tensor(y * mirror[:, :, None])
        # Sums of rows and columns, not a matrix product: its rounding depends on the batch.
        grid = across[:, :, None, :] + down[:, :, :, None]
        grid = grid.permute(0, 2, 3, 1)
        return functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)

    def _sharpen(self, maps: Tensor, draws: NDArray[np.float64]) -> None:
        """Take half of the maps away from (or towards) their smoothed selves, as Pillow does.

        ``factor * image + (1 - factor) * smoothed``, where smoothing weighs a pixel 5 and its
        neighbours 1 each, and the outermost pixels stay.
        """
        factor = self.augment.sharpness
        chosen = np.flatnonzero(draws[:, _SHARPNESS] < 0.5)
        if factor == 1 or min(maps.shape[2:]) < 3 or not len(chosen):
            return
        places = self.sent(torch.from_numpy(chosen))
        some = maps[places]
        inner = some[:, :, 1:-1, 1:-1]
        rows = some[:, :, :-2] + some[:, :, 1:-1]
        rows += some[:, :, 2:]
        total = rows[..., :-2] + rows[..., 1:-1]
        total += rows[..., 2:]
        smoothing = (1 - factor) / 13
        inner.mul_(factor + 4 * smoothing).add_(total.mul_(smoothing)).clamp_(0, 255)
        maps[places] = some

    def _blurred(
        self, maps: Tensor, draws: NDArray[np.float64]
    ) -> tuple[Tensor, NDArray[np.float64]]:
        """Return the maps under a Gaussian of their own, across and down, the border mirrored.

        The Gaussian is 1 in its middle; what makes the sum of its weights 1 is returned too,
        ``[B, 1]``, to be multiplied by later.
        """
        half = self.augment.blur // 2
        if not half:
            return maps, np.ones((len(maps), 1))
        sigma = _SIGMA[0] + draws[:, [_BLUR]] * (_SIGMA[1] - _SIGMA[0])
        weights = np.exp(-0.5 * (np.arange(1, half + 1) / sigma) ** 2)
        for axis in (2, 3):
            total = maps
            for step in range(1, half + 1):
                # Sums of shifted maps, not a convolution: its rounding depends on the batch.
                sides = self._beside(maps, axis, step)
                sides *= self._channels(weights[:, [step - 1]])
                total = sides.add_(total)
            maps = total
        return maps, (1 + 2 * weights.sum(axis=1, keepdims=True)) ** -2

    def _beside(self, maps: Tensor, axis: int, step: int) -> Tensor:
        """Return the sums of both pixels ``step`` away along an axis, mirrored at the ends."""
        size = maps.shape[axis]
        if size <= 2 * step:
            before, after = (self._mirrored(size, move) for move in (-step, step))
            return maps.index_select(axis, before) + maps.index_select(axis, after)
        total = torch.empty_like(maps)
        inner = total.narrow(axis, step, size - 2 * step)
        near, far = (maps.narrow(axis, start, size - 2 * step) for start in (0, 2 * step))
        torch.add(near, far, out=inner)
        for place in (*range(step), *range(size - step, size)):
            ends = (maps.select(axis, _mirror(place + move, size)) for move in (-step, step))
            torch.add(*ends, out=total.select(axis, place))
        return total

    def _mirrored(self, size: int, step: int) -> Tensor:
        """Return the places 0..size-1 moved by ``step``, mirrored at the first and last."""
        places = [_mirror(place + step, size) for place in range(size)]
        return self.sent(torch.tensor(places))

    def _toned(
        self, maps: Tensor, scale: NDArray[np.float64], draws: NDArray[np.float64]
    ) -> Tensor:
        """Return the maps times ``scale`` ``[B, 1]``, toned and standardised, in place."""
        brightness = 1 + _spread(draws[:, [_BRIGHTNESS]], self.augment.brightness)
        contrast = 1 + _spread(draws[:, [_CONTRAST]], self.augment.contrast)
        maps = self._standardised(maps, scale * brightness, contrast)
        if self.augment.brightness == self.augment.contrast == 0:
            return maps
        for channel, (mean, std) in enumerate(zip(self._mean, self._std, strict=True)):
            maps[:, channel].clamp_((0 - mean) / std, (1 - mean) / std)
        return maps

    def _standardised(
        self, maps: Tensor, brightness: NDArray[np.float64], contrast: NDArray[np.float64]
    ) -> Tensor:
        """Return ``((maps/255 * brightness - mean) * contrast) / std`` in two passes, in place."""
        factor = brightness * contrast / (255 * self._std)
        offset = -contrast * self._mean / self._std
        return maps.mul_(self._channels(factor)).add_(self._channels(offset))

    def _channels(self, values: NDArray[np.float64]) -> Tensor:
        """Return ``[B, c]`` as a float32 tensor ``[B, c, 1, 1]``."""
        return self._tensor(values)[:, :, None, None]

    def _tensor(self, values: NDArray[np.float64]) -> Tensor:
        return self.sent(torch.from_numpy(values.astype(np.float32)))


def _floats(images: Tensor) -> Tensor:
    """Return ``[B, H, W, c]`` uint8 as contiguous float32 ``[B, c, H, W]``, 0..255."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)


def _mirror(place: int, size: int) -> int:
    """Return a place, mirrored at the first and last of ``size`` until it is among them."""
    period = max(1, 2 * (size - 1))
    return min(place % period, period - place % period) if size > 1 else 0


def _spread(draws: NDArray[np.float64], largest: float) -> NDArray[np.float64]:
    """Return draws in [0, 1) as changes in [-largest, largest)."""
    return (2 * draws - 1) * largest


def _centres(size: int) -> NDArray[np.float64]:
    """Return the centres of pixels along a side that runs from -1 to 1."""
    return np.asarray((2 * np.arange(size) + 1) / size - 1)
