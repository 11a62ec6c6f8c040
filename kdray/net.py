"""A network with named places to look at, and what is seen there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kdray.errors import ModelError


@dataclass(frozen=True)
class Tap:
    """A named place in a network.

    Args:
        path: Module path, as in ``module.named_modules()``.
        layout: Order of the module's output: ``NCHW``, ``NHWC`` or ``tokens`` (``[B, N, D]``).
        grid: For ``tokens``: rows and columns of the patches.
        prefix: For ``tokens``: how many come before the patches (class token, ...).
    """

    path: str
    layout: str = "NCHW"
    grid: tuple[int, int] = (0, 0)
    prefix: int = 0

    def as_maps(self, output: Tensor) -> Tensor:
        """Return the output of the module as maps ``[B, D, h, w]``."""
        if self.layout == "NHWC":
            return output.permute(0, 3, 1, 2)
        if self.layout == "tokens":
            patches = output[:, self.prefix :].transpose(1, 2)
            return patches.reshape(output.shape[0], -1, *self.grid)
        return output


@dataclass(frozen=True)
class Attention:
    """Where the attention of one transformer block can be read.

    The block itself stays as it is (a fused kernel stays fused): its weights are computed again
    from the output of ``path``, and only when somebody asks.

    Args:
        path: Path of the module whose output tells, such as ``blocks.3.attn.qkv``.
        maps: That module and its output to ``[B, h, w]``: what the class token (where there is
            none: the mean query) gives to each patch, mean over the heads.
        reads: Whether ``maps`` and ``matrix`` take the module's ``output``, or its first
            ``input``.
        matrix: What ``maps`` takes, to ``[B, N, N]``: what each token (rows) gives to each, mean
            over the heads. None where keys are no tokens that also ask, such as pooled ones.
        prefix: How many of the ``N`` tokens come before the patches.
    """

    path: str
    maps: Callable[[nn.Module, Tensor], Tensor]
    reads: str = "output"
    matrix: Callable[[nn.Module, Tensor], Tensor] | None = None
    prefix: int = 0


@dataclass(frozen=True)
class Net:
    """A classifier ``[B, c, H, W] -> [B, C]`` with the places to look at, shallow to deep.

    Args:
        module: The network; returns logits.
        taps: Name -> tap. ``cam`` is the map that class activation methods use; ``stage1`` ...
            are the stages in order; ``texture`` and ``shape`` an early and a late map (DFKD);
            ``final`` the map whose mean, or whose class token, ``classifier`` takes.
        heads: Name -> path of a module that gives logits of its own, ``[B, C]``: ``class`` and
            ``distillation`` of a network with a distillation token.
        attention: The attention of the transformer blocks, in order; none for convolutions.
        classifier: Path of the linear layer that takes the mean of ``final``; empty where other
            layers stand between them.
        parallel: What is called instead of ``module``: its data-parallel wrapper.
    """

    module: nn.Module
    taps: Mapping[str, Tap] = field(default_factory=dict)
    heads: Mapping[str, str] = field(default_factory=dict)
    attention: tuple[Attention, ...] = ()
    classifier: str = ""
    parallel: nn.Module | None = None

    def layer(self, tap: str) -> nn.Module:
        """Return the module at a tap.

        Raises:
            ModelError: The network has no such tap.
        """
        place: Tap = _known("tap", tap, self.taps)
        return self.module.get_submodule(place.path)

    def head(self, name: str) -> nn.Module:
        """Return the module of a head.

        Raises:
            ModelError: The network has no such head.
        """
        return self.module.get_submodule(_known("head", name, self.heads))


@dataclass(frozen=True)
class Wants:
    """What to look at besides the logits; what nobody wants costs nothing.

    Args:
        taps: Names of taps.
        heads: Names of heads.
        attention: Whether to read the attention of all transformer blocks.
        dense: Whether to classify each place of the tap ``final``.
    """

    taps: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    attention: bool = False
    dense: bool = False


@dataclass(frozen=True)
class Look:
    """What is seen of a network for a batch.

    Args:
        logits: ``[B, C]``.
        maps: Tap name -> ``[B, D, h, w]``.
        heads: Head name -> its own logits ``[B, C]``.
        attention: Of each transformer block, shallow to deep: ``[B, h, w]``.
        dense: Logits of each place of the tap ``final``, ``[B, C, h, w]``.
        size: Height and width of the images.
    """

    logits: Tensor
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    heads: Mapping[str, Tensor] = field(default_factory=dict)
    attention: tuple[Tensor, ...] = ()
    dense: Tensor | None = None
    size: tuple[int, int] = (0, 0)


def look(net: Net, images: Tensor, wants: Wants | None = None) -> Look:
    """Return logits, and what is wanted besides, of one forward pass.

    Args:
        net: The network, in the mode (train or eval) that the caller chose.
        images: ``[B, c, H, W]``, standardised.
        wants: What to keep; no hook is set where nothing is wanted.

    Raises:
        ModelError: The network does not have what is wanted.
    """
    wants = wants or Wants()
    forward = net.parallel or net.module
    if wants == Wants():
        return Look(forward(images), size=_size(images))
    taps = (*wants.taps, *(("final",) if wants.dense and "final" not in wants.taps else ()))
    maps: dict[str, Tensor] = {}
    heads: dict[str, Tensor] = {}
    attention: dict[int, Tensor] = {}
    with ExitStack() as stack:
        for name in taps:
            _watch(stack, net.layer(name), _keep(maps, name, net.taps[name].as_maps))
        for name in wants.heads:
            _watch(stack, net.head(name), _keep(heads, name, lambda output: output))
        for index, place in enumerate(_blocks(net) if wants.attention else ()):
            layer = net.module.get_submodule(place.path)
            _watch(stack, layer, _read(attention, index, place, layer))
        logits = forward(images)
    return Look(
        logits,
        {name: maps[name] for name in wants.taps},
        {name: heads[name] for name in wants.heads},
        tuple(attention[index] for index in sorted(attention)),
        _dense(net, maps["final"]) if wants.dense else None,
        _size(images),
    )


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]


def _watch(stack: ExitStack, layer: nn.Module, hook: Any) -> None:
    stack.callback(layer.register_forward_hook(hook).remove)


def _keep(seen: dict[str, Tensor], name: str, form: Callable[[Tensor], Tensor]) -> Any:
    def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = form(output)

    return hook


def _read(seen: dict[int, Tensor], index: int, place: Attention, layer: nn.Module) -> Any:
    def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[index] = place.maps(layer, inputs[0] if place.reads == "input" else output)

    return hook


def _blocks(net: Net) -> tuple[Attention, ...]:
    if not net.attention:
        raise ModelError("attention", "this model has no attention that could be read.")
    return net.attention


def _dense(net: Net, maps: Tensor) -> Tensor:
    """Return the logits of each place of ``maps`` ``[B, D, h, w]``, ``[B, C, h, w]``."""
    if not net.classifier:
        problem = "this model's classifier does not take the mean of its last map."
        raise ModelError("dense logits", problem, "Choose a model such as a ResNet or a RegNet.")
    layer = net.module.get_submodule(net.classifier)
    places: Tensor = layer(maps.permute(0, 2, 3, 1))
    return torch.movedim(places, -1, 1)


def _known(what: str, name: str, places: Mapping[str, Any]) -> Any:
    if name not in places:
        known = ", ".join(places) or "none"
        raise ModelError(
            f"{what} {name!r}", f"this model has no such {what}.", f"It has: {known}."
        )
    return places[name]
