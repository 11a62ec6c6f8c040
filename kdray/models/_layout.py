"""The order of a net's numbers in memory: the faster one known for its family and device."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

Order = Literal["auto", "channels_last", "contiguous"]

#: Families (classes) whose training steps gain nothing from channels_last on a CPU. Measured at
#: 224 px, batch 16, ratio of the steps: MobileNetV3-S, EfficientNet-B0, OFA-595 and MBCSA
#: 0.74-0.76, RegNetY-400MF 0.86, HDKD 0.88, ShuffleNetV2 0.96-1.01, GhostNet 1.07. Never timed at
#: run time: equal settings give equal results.
_CONTIGUOUS = frozenset({"GhostNet"})
#: So many convolutions make a network convolutional; transformers have one, of their patches.
_CONVOLUTIONS = 4


def lay_out(
    module: nn.Module, device: str, order: Order = "auto", precision: str = "float32"
) -> None:
    """Put a net's weights into the order in which it computes fastest.

    Its images may stay as they are: the first convolution takes them over into the order of its
    weights, and what follows keeps it.

    Args:
        module: The net.
        device: Where it computes.
        order: ``auto``, or the order itself.
        precision: Arithmetic of the forward pass.
    """
    module.to(memory_format=memory_format(module, device, order, precision))


def memory_format(
    module: nn.Module, device: str, order: Order = "auto", precision: str = "float32"
) -> torch.memory_format:
    """Return the order that ``lay_out`` puts weights into."""
    if order == "auto":
        faster = _tensor_cores(precision) if device.startswith("cuda") else _cpu(module)
        order = "channels_last" if faster and _convolutional(module) else "contiguous"
    return torch.channels_last if order == "channels_last" else torch.contiguous_format


def _cpu(module: nn.Module) -> bool:
    return type(module).__name__ not in _CONTIGUOUS


def _tensor_cores(precision: str) -> bool:
    """Return whether a GPU's kernels want channels last: those of 16 bits do."""
    return precision != "float32"


def _convolutional(module: nn.Module) -> bool:
    return sum(isinstance(part, nn.Conv2d) for part in module.modules()) >= _CONVOLUTIONS
