"""Looking into a network with hooks and gradients, and leaving it as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from kdray.net import Net, Tap


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Restore on leaving: training mode, ``requires_grad`` and gradients of all parameters.

    Inside, no parameter asks for a gradient.
    """
    modes = [(part, part.training) for part in module.modules()]
    weights = [(weight, weight.requires_grad, weight.grad) for weight in module.parameters()]
    try:
        for weight, _, _ in weights:
            weight.requires_grad_(False)
        yield
    finally:
        for part, training in modes:
            part.training = training
        for weight, requires_grad, grad in weights:
            weight.requires_grad_(requires_grad)
            weight.grad = grad


@contextmanager
def gradients_from(net: Net, tap: str) -> Iterator[None]:
    """Let gradients start at a tap, so that a backward pass ends there.

    The forward pass up to the tap then keeps nothing, and the maps are those of a backward pass
    through the whole network.
    """

    def restart(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        # A clone, for the next layer may work in place, which a leaf with gradient forbids.
        return output.detach().requires_grad_().clone()

    handle = net.layer(tap).register_forward_hook(restart)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        handle.remove()


def as_maps(tap: Tap) -> Callable[[Tensor], Tensor]:
    """Return pytorch-grad-cam's ``reshape_transform`` of a tap: its output to ``[B, D, h, w]``."""
    # A clone, for the next layer may overwrite its input (DenseNet's last ReLU does).
    return lambda output: tap.as_maps(output).clone()
