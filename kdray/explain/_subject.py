"""What a part of this folder is given, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kdray.net import Net, Tap
from kdray.runtime import Forward, Precision, Runtime, forward_only

#: With so many images, done and expected, a faster runtime is made, which takes seconds. A choice,
#: not tuned: a small network that is asked for no more gets less than that back.
WORTH = 128


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
        self._forget_other_weights()
        is_worth = self._runtime != "auto" or self._done + max(planned, len(images)) >= WORTH
        runtime: Runtime = self._runtime if is_worth else "torch"
        key = (runtime, precision, images.device, images.shape[1:], torch.get_num_threads())
        if key not in self._forwards:
            self._forwards[key] = forward_only(self.net.module, images, runtime, precision)
        self._done += len(images)
        return self._forwards[key](images)

    def _forget_other_weights(self) -> None:
        """Drop runtimes made of weights that were changed since: they keep those they had."""
        versions = [tensor._version for tensor in self._weights]
        if versions != self._versions:
            self._forwards.clear()
            self._versions, self._done = versions, 0


@dataclass(frozen=True)
class Raw:
    """Maps as a part computes them, at their own size and range.

    Args:
        maps: ``[B, K, h, w]`` for ``K`` classes of each image; a part whose map knows no class
            expands it.
        forwards: Images that went through the network for it, over the whole batch.
        estimate: ``[B, K]``: the estimated correlation with the exact map, where the part
            approximates one.
        reasons: (image, place in the classes) -> why that map shows nothing, where the part
            knows better than that it is blank.
    """

    maps: Tensor
    forwards: int
    estimate: Tensor | None = None
    reasons: Mapping[tuple[int, int], str] = field(default_factory=dict)
