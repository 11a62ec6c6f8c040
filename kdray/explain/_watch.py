"""Looking into a network with hooks and gradients, and leaving it as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kdray.net import Net, Tap


@dataclass(frozen=True)
class Head:
    """A forward pass whose gradients begin at a tap.

    Args:
        logits: ``[B, C]``.
        output: What the layer at the tap gave, in its own layout; a leaf with gradient.
        maps: The same as ``[B, D, h, w]``.
    """

    logits: Tensor
    output: Tensor
    maps: Tensor


def head_from(net: Net, tap: str, images: Tensor) -> Head:
    """Return one forward pass that keeps nothing before the tap.

    A backward pass from the logits then ends at the tap, and its gradients there are those of a
    backward pass through the whole network.

    Args:
        net: The classifier; no weight asks for a gradient.
        tap: Name of the tap.
        images: ``[B, c, H, W]``.

    Raises:
        ModelError: The network has no such tap.
    """
    seen: list[Tensor] = []

    def restart(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        # A clone, for the next layer may work in place, which a leaf with gradient forbids.
        return seen[0].clone()

    with hooked(net.layer(tap), restart), torch.enable_grad():
        logits = net.module(images)
    return Head(logits, seen[0], net.taps[tap].as_maps(seen[0]))


def gradients_of(head: Head, net: Net, tap: str, classes: Tensor) -> Tensor:
    """Return the gradients of the logits of ``classes[:, 0]``, ``classes[:, 1]``, ...

    Args:
        head: The forward pass.
        net: Its network.
        tap: Its tap.
        classes: int64 ``[B, K]``.

    Returns:
        ``[K, B, D, h, w]``, from one backward pass for all classes.
    """
    count = classes.shape[1]
    chosen = head.logits.new_zeros((count, *head.logits.shape))
    chosen.scatter_(2, classes.T[:, :, None], 1.0)
    one = count == 1  # a batch of one would cost more
    [gradients] = torch.autograd.grad(
        head.logits, head.output, chosen[0] if one else chosen, is_grads_batched=not one
    )
    maps = net.taps[tap].as_maps(gradients if one else gradients.flatten(0, 1))
    return torch.unflatten(maps, 0, (count, -1))


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
