"""Looking into a network with hooks, and leaving it as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kdray.net import Net, Tap


def maps_at(net: Net, taps: Sequence[str], images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return logits ``[B, C]`` and the maps ``[B, D, h, w]`` at each tap, without gradients.

    The maps are the caller's own: layers that work in place (DenseNet's last ReLU) do not reach
    them.

    Raises:
        ModelError: The network has no such tap.
    """
    seen: dict[str, Tensor] = {}
    with ExitStack() as stack, torch.no_grad():
        for name in taps:
            stack.enter_context(hooked(net.layer(name), _copying(seen, name, net.taps[name])))
        return net.module(images), seen


def _copying(seen: dict[str, Tensor], name: str, tap: Tap) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = tap.as_maps(output.clone())

    return hook


@contextmanager
def hooked(layer: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    """Set a forward hook for a while."""
    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
