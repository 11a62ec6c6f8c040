"""A network as an ONNX file that gives logits and the maps at a tap, compared with PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.net import Net
from kdray.onnx import LOGITS, MAPS, run_onnx
from kdray.runtime import TOLERANCE, export_onnx


class Both(nn.Module):
    """Images ``[B, c, H, W]`` to logits ``[B, C]`` and the maps ``[B, D, h, w]`` at a tap.

    Args:
        net: The network in eval mode.
        tap: Name of the tap.
    """

    def __init__(self, net: Net, tap: str) -> None:
        super().__init__()
        self.module = net.module
        self._layer, self._place = net.layer(tap), net.taps[tap]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and maps."""
        seen: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            # A clone, for the next layer may work in place.
            seen.append(self._place.as_maps(output.clone()))

        handle = self._layer.register_forward_hook(keep)
        try:
            return self.module(images), seen[0]
        finally:
            handle.remove()


def write_network(net: Net, tap: str, images: Tensor, file: Path) -> None:
    """Write a network as ONNX, for any number of images.

    Args:
        net: The network in eval mode, on the CPU.
        tap: Name of the tap whose maps it gives.
        images: Some real images ``[B, c, H, W]``, standardised, ``B`` at least 3.
        file: Where to write.

    Raises:
        ModelError: It cannot be exported, or the file gives other logits or maps than PyTorch.
    """
    both = Both(net, tap).eval()
    try:
        export_onnx(both, images[:2], file, outputs=(LOGITS, MAPS))
        run = run_onnx(file, torch.get_num_threads(), (LOGITS, MAPS))
        for some in (images[:3], images[:1]):  # not as many as were traced
            _compare(both, some, run(some.numpy()))
    except ModelError:
        raise
    except Exception as error:  # converters raise whatever they like
        problem = f"cannot be written as ONNX: {type(error).__name__}: {error}".splitlines()[0]
        raise ModelError("network", problem.rstrip(".") + ".") from error


def _compare(both: Both, images: Tensor, found: list[NDArray[np.float32]]) -> None:
    with torch.no_grad():
        expected = both(images)
    for name, own, array in zip((LOGITS, MAPS), expected, found, strict=True):
        truth = own.numpy()
        error = np.abs(truth - array).max() if truth.shape == array.shape else np.inf
        if not error <= TOLERANCE["float32"] * max(1e-3, float(np.abs(truth).max())):
            problem = f"written as ONNX, its {name} differ by {error:.3g}."
            raise ModelError("network", problem)
