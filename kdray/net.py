"""A network with named places to look at, and what is seen there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from kdray.errors import ModelError


@dataclass(frozen=True)
class Tap:
    """A named place in a network.

    Args:
        path: Module path, as in ``module.named_modules()``.
        layout: Order of the module's output: ``NCHW``, ``NHWC`` or ``tokens`` (``[B, N, D]``).
        grid: For ``tokens``: rows and columns of the patches.
        prefix: For ``tokens``: how many come before the patches (class token, ...).
    """

    path: str
    layout: str = "NCHW"
    grid: tuple[int, int] = (0, 0)
    prefix: int = 0

    def as_maps(self, output: Tensor) -> Tensor:
        """Return the output of the module as maps ``[B, D, h, w]``."""
        if self.layout == "NHWC":
            return output.permute(0, 3, 1, 2)
        if self.layout == "tokens":
            patches = output[:, self.prefix :].transpose(1, 2)
            return patches.reshape(output.shape[0], -1, *self.grid)
        return output


@dataclass(frozen=True)
class Net:
    """A classifier ``[B, c, H, W] -> [B, C]`` with its taps, shallow to deep.

    Args:
        module: The network; returns logits.
        taps: Name -> tap. ``cam`` is the map that class activation methods use;
            ``stage1`` ... are the stages in order.
    """

    module: nn.Module
    taps: Mapping[str, Tap] = field(default_factory=dict)

    def layer(self, tap: str) -> nn.Module:
        """Return the module at a tap.

        Raises:
            ModelError: The network has no such tap.
        """
        if tap not in self.taps:
            known = ", ".join(self.taps) or "none"
            raise ModelError(f"tap {tap!r}", "this model has no such tap.", f"It has: {known}.")
        return self.module.get_submodule(self.taps[tap].path)


@dataclass(frozen=True)
class Look:
    """What is seen of a network for a batch.

    Args:
        logits: ``[B, C]``.
        maps: Tap name -> ``[B, D, h, w]``.
    """

    logits: Tensor
    maps: Mapping[str, Tensor] = field(default_factory=dict)


def look(net: Net, images: Tensor, taps: Sequence[str] = ()) -> Look:
    """Return logits and the maps at ``taps`` of one forward pass.

    Args:
        net: The network, in the mode (train or eval) that the caller chose.
        images: ``[B, c, H, W]``, standardised.
        taps: Names of taps to keep, in this order; no hook is set when empty.
    """
    if not taps:
        return Look(net.module(images))
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[name] = net.taps[name].as_maps(output)

        return hook

    with ExitStack() as stack:
        for name in taps:
            handle = net.layer(name).register_forward_hook(keep(name))
            stack.callback(handle.remove)
        logits = net.module(images)
    return Look(logits, {name: seen[name] for name in taps})
