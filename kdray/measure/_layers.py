"""The layers of a network in stages, from the head down, as its forward pass meets them."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdray.net import Net

#: Stages below the head of a network without taps, or with very many.
_PARTS = 4


def stages_of(net: Net, image: Tensor) -> list[list[str]]:
    """Return the paths of all modules that have weights of their own, in stages, head first.

    The head is what comes after the deepest of the taps ``stage1``, ``stage2``, ...; each other
    stage lies between two of them. A network with fewer than two or more than five such stages is
    cut into four of about equal length instead, below its last layer.

    Args:
        net: The network, in eval mode.
        image: ``[1, c, H, W]``, on its device.
    """
    levels = _levels(net, image)
    groups: dict[int, list[str]] = {}
    for path, level in levels.items():
        groups.setdefault(level, []).append(path)
    stages = [groups[level] for level in sorted(groups)]
    if not 3 <= len(stages) <= 6:
        *body, head = chain.from_iterable(stages)
        parts = np.array_split(np.array(body, dtype=object), min(_PARTS, max(len(body), 1)))
        stages = [*([str(path) for path in part] for part in parts if len(part)), [head]]
    return stages[::-1]


def _levels(net: Net, image: Tensor) -> dict[str, int]:
    """Return for each module with own weights how many stages had ended when it began.

    In the order of the forward pass. A module that is never called (a projection that its parent
    reads) goes with the nearest one around it that is.
    """
    ended: set[str] = set()
    began: dict[str, int] = {}
    with ExitStack() as stack, torch.no_grad():
        for name in net.taps:
            if name.startswith("stage"):
                handle = net.layer(name).register_forward_hook(_adds(ended, name))
                stack.callback(handle.remove)
        for path, module in net.module.named_modules():
            handle = module.register_forward_pre_hook(_notes(began, path, ended))
            stack.callback(handle.remove)
        net.module(image)
    weighted = {
        path
        for path, module in net.module.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    }
    around = {path: _called(path, began) for path in weighted}
    places = {path: place for place, path in enumerate(began)}
    order = sorted(weighted, key=lambda path: (places[around[path]], path))
    return {path: began[around[path]] for path in order}


def _adds(ended: set[str], name: str) -> Any:
    def hook(*_: Any) -> None:
        ended.add(name)

    return hook


def _notes(began: dict[str, int], path: str, ended: set[str]) -> Any:
    def hook(*_: Any) -> None:
        began.setdefault(path, len(ended))

    return hook


def _called(path: str, began: dict[str, int]) -> str:
    while path not in began:
        path = path.rpartition(".")[0]
    return path
