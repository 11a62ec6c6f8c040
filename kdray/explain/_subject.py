"""What a part of this folder is given; it gives ``kdray.maps.Raw``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdray.explain._seen import Seen
from kdray.net import Net, Tap
from kdray.runtime import Forward, Precision, Runtime, forward_only

#: With so many images, done and expected, a faster runtime is made, which takes seconds. A choice,
#: not tuned: a small network that is asked for no more gets less than that back.
WORTH = 128
#: Pixels of one forward pass. To OpenVINO it hardly matters (MobileNetV3-Small, 224 px, 576 masks:
#: 0.63 to 0.66 s with 8 to 64 at once); in PyTorch 64 and 128 are slower than 16 and 32.
PIXELS = 16 * 224 * 224


@dataclass(frozen=True)
class Road:
    """How a forward pass with gradients from a tap on goes through a network.

    Args:
        inference: What comes before the tap runs in inference mode; False: a network that uses it
            beside the tap does not allow that.
        by_mean: The network reads nothing of the tap but the mean over its places, so that the
            pass may go on with that alone.
    """

    inference: bool = True
    by_mean: bool = False


class Subject:
    """A classifier that is explained, with what is worth keeping from one call to the next.

    It takes the network over: eval mode, no gradients of weights. Explanations look into it with
    hooks, so only one call at a time may use it; each leaves no hook behind.

    Args:
        net: The classifier.
        runtime: What computes many forward passes of changed images (``forward``). ``auto``
            begins with PyTorch and changes to a faster one once that is worth it; any other is
            made at the first call.
    """

    def __init__(self, net: Net, runtime: Runtime = "auto") -> None:
        net.module.eval()
        net.module.requires_grad_(False)
        self.net = net
        #: (tap, size of the images) -> the quickest way there.
        self.roads: dict[tuple[Tap, torch.Size], Road] = {}
        self._runtime = runtime
        self._forwards: dict[tuple[object, ...], Forward] = {}
        self._done = 0
        self._weights = [*net.module.parameters(), *net.module.buffers()]
        self._versions: list[int] = []

    def forward(
        self, images: Tensor, planned: int = 0, precision: Precision = "float32"
    ) -> Tensor:
        """Return the logits ``[B, C]`` of images ``[B, c, H, W]``, without gradients or hooks.

        Args:
            images: Standardised images.
            planned: How many images, these among them, the caller is about to ask for.
            precision: Arithmetic of the network.
        """
        runtime, key = self._planned(images, planned)
        if (precision, *key) not in self._forwards:
            made = forward_only(self.net.module, images, runtime, precision)
            self._forwards[precision, *key] = made
        return self._forwards[precision, *key](images)

    def seen_through(
        self, masks: Tensor, image: Tensor, planned: int = 0, precision: Precision = "float32"
    ) -> Tensor:
        """Return the logits ``[n, C]`` of an image ``[1, c, H, W]`` seen through each mask.

        Args:
            masks: ``[n, h, w]``, enlarged to the image here.
            image: Standardised.
            planned: How many masks, these among them, the caller is about to ask for.
            precision: Arithmetic of the network.
        """
        runtime, key = self._planned(masks, planned)
        key = (precision, image.shape, *key)
        if key not in self._forwards:
            sizes = [(one.shape[-2], one.shape[-1]) for one in (masks, image)]
            seen = Seen(self.net.module, *sizes).eval()
            self._forwards[key] = forward_only(seen, masks, runtime, precision, image)
        return self._forwards[key](masks, image)

    def _planned(self, inputs: Tensor, planned: int) -> tuple[Runtime, tuple[object, ...]]:
        """Return what computes so many, and what its function is kept under."""
        self._forget_other_weights()
        is_worth = self._runtime != "auto" or self._done + max(planned, len(inputs)) >= WORTH
        runtime: Runtime = self._runtime if is_worth else "torch"
        self._done += len(inputs)
        return runtime, (runtime, inputs.device, inputs.shape[1:], torch.get_num_threads())

    def _forget_other_weights(self) -> None:
        """Drop runtimes made of weights that were changed since: they keep those they had."""
        versions = [tensor._version for tensor in self._weights]
        if versions != self._versions:
            self._forwards.clear()
            self._versions, self._done = versions, 0


def batch_of(image: Tensor) -> int:
    """Return how many images of the size of ``[c, H, W]`` a forward pass should take."""
    return max(1, PIXELS // (image.shape[1] * image.shape[2]))


def numbers(tensor: Tensor) -> NDArray[np.float32]:
    """Return a tensor as an array, which shares its memory where it can."""
    array: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return array


def indices(classes: Tensor) -> NDArray[np.int64]:
    """Return the classes to explain as an array."""
    array: NDArray[np.int64] = classes.cpu().numpy()
    return array
