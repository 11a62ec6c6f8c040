"""The head of a network as plain layers, kept only where it gives PyTorch's own numbers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kdray.edge.head import Head
from kdray.errors import RegistryError
from kdray.export._chain import Link, NoChainError, chain_after
from kdray.net import Net

#: Numbers of the two may differ by this share of the largest.
TOLERANCE = 1e-4
#: Prefix of the arrays that are not stored again: they are in the weights under this name.
WEIGHTS = "weights."

logger = logging.getLogger(__name__)
Arrays = dict[str, NDArray[Any]]


def head_of(
    net: Net, tap: str, images: Tensor, weights: Mapping[str, Tensor]
) -> tuple[list[dict[str, Any]] | None, Arrays]:
    """Return the layers after a tap for ``Head.read``, and the arrays that the weights lack.

    Args:
        net: The network in eval mode, on the CPU.
        tap: Name of the tap.
        images: Some real images ``[B, c, H, W]``, standardised, ``B`` at least 2.
        weights: The tensors of the package's weights file, by name.

    Returns:
        No layers where what follows the tap is not a chain of the known ones, or gives other
        logits or gradients than PyTorch does; then the reason is logged.
    """
    try:
        links = chain_after(net, tap, images)
        facts, arrays = _described(links, weights)
        known = {WEIGHTS + name: tensor.numpy() for name, tensor in weights.items()}
        head = Head.read(facts, {**known, **arrays})
        problem = _difference(head, net, tap, images)
    except (NoChainError, RegistryError) as error:
        problem = str(error)
    if not problem:
        return facts, arrays
    logger.info("Gradient maps need PyTorch; after %s: %s", net.taps[tap].path, problem)
    return None, {}


def _described(
    links: list[Link], weights: Mapping[str, Tensor]
) -> tuple[list[dict[str, Any]], Arrays]:
    by_place = {tensor.data_ptr(): name for name, tensor in weights.items() if tensor.numel()}
    facts: list[dict[str, Any]] = []
    arrays: Arrays = {}
    for index, link in enumerate(links):
        names = {}
        for key, tensor in link.tensors.items():
            name = by_place.get(tensor.data_ptr(), "")
            if not name or not _equal(weights[name], tensor):
                name = f"head.{index}.{key}"
                arrays[name] = np.ascontiguousarray(tensor.detach().numpy())
                names[key] = name
            else:
                names[key] = WEIGHTS + name
        facts.append({"kind": link.kind, "settings": dict(link.settings), "arrays": names})
    return facts, arrays


def _equal(stored: Tensor, tensor: Tensor) -> bool:
    """Return whether a stored tensor, with all but its first axis in a row, is this one."""
    shape = tensor.shape
    return stored.numel() == tensor.numel() and torch.equal(stored.reshape(shape), tensor)


def _difference(head: Head, net: Net, tap: str, images: Tensor) -> str:
    """Return what is wrong with a head, or nothing."""
    real = _maps(net, tap, images)
    random = torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    scale = real.std().clamp_min(1e-3)
    for maps in (real, random * scale):
        logits, gradients = _by_torch(net, tap, images, maps)
        if not _close(head.logits(maps.numpy()), logits):
            return "other logits."
        count, batch = logits.shape[1], len(logits)
        classes = np.broadcast_to(np.arange(count), (batch, count))
        found = head.gradients(maps.numpy(), classes)
        if not _close(np.broadcast_to(found, gradients.shape), gradients):
            return "other gradients."
    return ""


def _maps(net: Net, tap: str, images: Tensor) -> Tensor:
    """Return the maps ``[B, D, h, w]`` at a tap."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(net.taps[tap].as_maps(output.clone()))

    handle = net.layer(tap).register_forward_hook(keep)
    try:
        with torch.no_grad():
            net.module(images)
    finally:
        handle.remove()
    return seen[0].contiguous()


def _by_torch(
    net: Net, tap: str, images: Tensor, maps: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return logits ``[B, C]`` and their gradients ``[C, B, D, h, w]`` of other maps at a tap."""
    leaf = maps.clone().requires_grad_()

    def replace(_module: nn.Module, _inputs: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        last = net.taps[tap].layout == "NHWC"
        return leaf.permute(0, 2, 3, 1).contiguous() if last else leaf.clone()

    handle = net.layer(tap).register_forward_hook(replace)
    try:
        with torch.enable_grad():
            logits = net.module(images)
    finally:
        handle.remove()
    classes = torch.eye(logits.shape[1])[:, None].expand(-1, len(logits), -1)
    [gradients] = torch.autograd.grad(logits, leaf, classes, is_grads_batched=True)
    return logits.detach().numpy(), gradients.numpy()


def _close(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> bool:
    return bool(np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max())
