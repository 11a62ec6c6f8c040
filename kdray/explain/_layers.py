"""Average feature maps of several layers, from one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from kdray.explain._subject import Subject
from kdray.explain._watch import hooked
from kdray.net import Net, Tap

STAGE = "stage"


def layer_maps(
    subject: Subject, images: Tensor, taps: Sequence[str] | None = None
) -> tuple[list[str], list[Tensor]]:
    """Return the mean over the channels at each tap, shallow to deep, in one forward pass.

    Args:
        subject: The classifier.
        images: ``[B, c, H, W]``, standardised.
        taps: Names of taps; None: the stages, except those whose map is a single cell.

    Returns:
        The names, and for each of them maps ``[B, h, w]`` of its own size and range.

    Raises:
        ModelError: The network has no such tap.
    """
    names = stages(subject.net) if taps is None else list(taps)
    seen: dict[str, Tensor] = {}
    with ExitStack() as stack, torch.inference_mode():
        for name in names:
            layer = subject.net.layer(name)
            stack.enter_context(hooked(layer, _averaging(seen, name, subject.net.taps[name])))
        subject.net.module(images)
    if taps is None:
        names = [name for name in names if seen[name][0].numel() > 1]
    return names, [seen[name] for name in names]


def stages(net: Net) -> list[str]:
    """Return the names of a network's stages, in order."""
    numbers = {name.removeprefix(STAGE): name for name in net.taps if name.startswith(STAGE)}
    return [numbers[number] for number in sorted(filter(str.isdecimal, numbers), key=int)]


def _averaging(seen: dict[str, Tensor], name: str, tap: Tap) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = tap.as_maps(output).mean(dim=1)

    return hook
