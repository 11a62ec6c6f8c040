"""Compiling a net's training step by ``torch.compile``."""

from __future__ import annotations

import os
import shutil

import torch
from torch import nn

from kdray.errors import RunError

#: Up to so many parameters the launches of a GPU's kernels are a large part of a step.
_SMALL = 10_000_000
_COMPILERS = ("g++", "clang++", "c++")


def compiled(module: nn.Module, device: str) -> nn.Module:
    """Return a compiled module that shares its weights with ``module``, which stays as it is.

    On a GPU the steps of a small net are CUDA graphs. Batches of an epoch have at most two sizes:
    each is compiled by itself.

    Args:
        module: The net, or its data-parallel wrapper.
        device: Where it computes.

    Raises:
        RunError: There is no C++ compiler.
    """
    names = (os.environ.get("CXX", ""), *_COMPILERS)
    if not any(shutil.which(name) for name in names if name):
        remedy = "Install one, or set `compile: false`."
        raise RunError("train.compile", "this machine has no C++ compiler.", remedy)
    small = sum(weight.numel() for weight in module.parameters()) <= _SMALL
    graphs = small and device.startswith("cuda")
    made: nn.Module = torch.compile(  # type: ignore[assignment]
        module, dynamic=False, mode="reduce-overhead" if graphs else "default"
    )
    return made
