"""What a part of this folder is given, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from kdray.net import Net
from kdray.runtime import Forward, Runtime, forward_only


class Subject:
    """A classifier that is explained, with what is worth keeping from one call to the next.

    It takes the network over: eval mode, no gradients of weights. Explanations look into it with
    hooks, so only one call at a time may use it; each leaves no hook behind.

    Args:
        net: The classifier.
        runtime: What computes many forward passes of changed images (``forward``).
    """

    def __init__(self, net: Net, runtime: Runtime = "auto") -> None:
        net.module.eval()
        net.module.requires_grad_(False)
        self.net = net
        self._runtime = runtime
        self._forwards: dict[tuple[int, ...], Forward] = {}

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits ``[B, C]`` of images ``[B, c, H, W]``, without gradients or hooks."""
        size = tuple(images.shape[1:])
        if size not in self._forwards:
            self._forwards[size] = forward_only(self.net.module, images, self._runtime)
        return self._forwards[size](images)


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
