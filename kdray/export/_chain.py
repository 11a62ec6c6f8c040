"""What runs after the last maps of a network, watched and put into plain layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kdray.net import Net


@dataclass(frozen=True)
class Link:
    """A layer of the chain.

    Args:
        kind: One of ``kdray.edge._layers.KINDS``.
        settings: Its numbers and names.
        tensors: Name of an argument -> values.
    """

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class NoChainError(Exception):
    """What follows the maps is no chain of known layers."""


def chain_after(net: Net, tap: str, images: Tensor) -> list[Link]:
    """Return the layers between a tap and the logits.

    Args:
        net: The network in eval mode, on the CPU.
        tap: Name of the tap.
        images: ``[B, c, H, W]``, ``B`` at least 2.

    Raises:
        NoChainError: There are others than the few that are known, or they are no chain.
    """
    place = net.taps[tap]
    if place.layout == "tokens":
        raise NoChainError("the maps are tokens, and what follows is attention or a class token")
    constants = [*net.module.parameters(), *net.module.buffers()]
    watch = _Watch(constants, channels_last=place.layout == "NHWC")

    def begin(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        start = output.clone()
        watch.begin(start)
        return start

    handle = net.layer(tap).register_forward_hook(begin)
    try:
        with torch.no_grad(), watch:
            logits = net.module(images)
    finally:
        handle.remove()
    return watch.ended(logits)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows a tensor through the operations of a forward pass, after ``begin``."""

    def __init__(self, constants: Sequence[Tensor], channels_last: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.links: list[Link] = []
        self.channels_last = channels_last
        #: Whether the places are gone, so that an image is a row of values.
        self.is_row = False
        self._constants = {tensor.data_ptr() for tensor in constants}
        self._seen: list[Tensor] = []
        self._problem = ""

    def begin(self, start: Tensor) -> None:
        """Follow ``start`` from now on."""
        if self._seen:
            self._problem = "the layer of the tap runs twice"
        self._seen = [start]

    def ended(self, result: Tensor) -> list[Link]:
        """Return the links that lead to ``result``."""
        if self._problem:
            raise NoChainError(self._problem)
        if not self._seen or self._seen[-1] is not result or not self.is_row:
            raise NoChainError("the logits are not the end of what follows the maps")
        return self.links

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if self._seen and not self._problem:
            try:
                self._follow(function, args, kwargs or {}, result)
            except NoChainError as problem:
                self._problem = str(problem)
        return result

    def _follow(self, function: Any, args: Any, kwargs: Any, result: Any) -> None:
        tensors = [item for item in tree_leaves((args, kwargs)) if isinstance(item, Tensor)]
        followed = [tensor for tensor in tensors if any(tensor is one for one in self._seen)]
        if not followed:
            return
        name = function._schema.name.removeprefix("aten::").rstrip("_")
        if len(followed) > 1 or followed[0] is not self._seen[-1] or name not in _OPERATIONS:
            raise NoChainError(f"{name} is no layer of a plain chain")
        others = [tensor for tensor in tensors if tensor is not followed[0]]
        if any(tensor.data_ptr() not in self._constants for tensor in others):
            raise NoChainError(f"{name} takes something besides the maps and the weights")
        output = result[0] if isinstance(result, tuple) else result
        call = _Call(followed[0], tuple(args), dict(kwargs), output)
        link = _OPERATIONS[name](self, call)
        if link is not None:
            self.links.append(link)
        self._seen.append(output)


@dataclass(frozen=True)
class _Call:
    x: Tensor
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Tensor

    def given(self, place: int, default: Any = None) -> Any:
        return self.args[place] if len(self.args) > place else default


_Of = Callable[[_Watch, _Call], Link | None]


def _same(_watch: _Watch, call: _Call) -> None:
    """Check that the values and their order stay."""
    if call.output.numel() != call.x.numel() or len(call.output) != len(call.x):
        raise NoChainError("values are left out or repeated")


def _viewed(watch: _Watch, call: _Call) -> Link | None:
    _same(watch, call)
    if watch.is_row or call.output.shape == call.x.shape:
        return None
    if call.output.shape != (len(call.x), call.x[0].numel()):
        raise NoChainError("the maps are laid out anew")
    watch.is_row = True
    return Link("flatten", {"channels_last": watch.channels_last})


def _permuted(watch: _Watch, call: _Call) -> None:
    if watch.is_row:
        return _same(watch, call)
    order = tuple(place % 4 for place in call.args[1])
    if order != ((0, 3, 1, 2) if watch.channels_last else (0, 2, 3, 1)):
        raise NoChainError("the maps are laid out anew")
    watch.channels_last = not watch.channels_last
    return None


def _mean(watch: _Watch, call: _Call) -> Link:
    places = {place % call.x.ndim for place in call.given(1) or ()}
    if watch.is_row or places != ({1, 2} if watch.channels_last else {2, 3}):
        raise NoChainError("a mean that is not over all places")
    watch.is_row = True
    return Link("mean")


def _max_pooled(watch: _Watch, call: _Call) -> Link:
    size = _pair(call.args[1])
    plain = (call.given(2) or size, call.given(3, (0, 0)), call.given(4, (1, 1)))
    if watch.is_row or watch.channels_last or call.given(5, False):
        raise NoChainError("a pool of another kind")
    if tuple(_pair(value) for value in plain) != (size, (0, 0), (1, 1)):
        raise NoChainError("a pool whose windows touch each other")
    return Link("max_pool", {"size": list(size)})


def _average_pooled(watch: _Watch, call: _Call) -> Link:
    if watch.is_row or watch.channels_last:
        raise NoChainError("a pool of another kind")
    return Link("average_pool", {"grid": list(_pair(call.args[1]))})


def _added_product(watch: _Watch, call: _Call) -> Link:
    bias, x, weight = call.args[:3]
    if x is not call.x or call.kwargs:
        raise NoChainError("a product of another kind")
    return _linear_of(watch, weight.t(), bias)


def _product(watch: _Watch, call: _Call) -> Link:
    if call.args[0] is not call.x:
        raise NoChainError("a product of another kind")
    return _linear_of(watch, call.args[1].t(), None)


def _linear(watch: _Watch, call: _Call) -> Link:
    return _linear_of(watch, call.args[1], call.given(2))


def _linear_of(watch: _Watch, weight: Tensor, bias: Tensor | None) -> Link:
    if not watch.is_row:
        raise NoChainError("a linear layer at each place")
    given = {} if bias is None else {"bias": bias}
    return Link("affine", {}, {"weight": weight, **given})


def _convolved(watch: _Watch, call: _Call) -> Link:
    weight, bias, groups = call.args[1], call.given(2), call.args[8]
    if tuple(weight.shape[2:]) != (1, 1) or groups != 1 or call.args[6]:
        raise NoChainError("a convolution of several places")
    return _linear_of(watch, weight.flatten(1), bias)


def _batch_normed(watch: _Watch, call: _Call) -> Link:
    weight, bias, mean, variance = call.args[1:5]
    is_training, epsilon = (False, call.args[6]) if len(call.args) == 7 else call.args[5::2]
    if is_training or (watch.channels_last and not watch.is_row):
        raise NoChainError("a batch norm that is not in eval mode")
    factor = (variance + epsilon).rsqrt() * (1 if weight is None else weight)
    offset = (0 if bias is None else bias) - mean * factor
    return Link("scale", {}, {"factor": factor, "offset": offset})


def _layer_normed(watch: _Watch, call: _Call) -> Link:
    shape, weight, bias, epsilon = call.args[1:5]
    if not watch.is_row or list(shape) != [call.x[0].numel()]:
        raise NoChainError("a layer norm at each place")
    ones = call.x.new_ones(shape)
    weight = ones if weight is None else weight
    return Link(
        "layer_norm",
        {"epsilon": float(epsilon)},
        {"weight": weight, "bias": ones * 0 if bias is None else bias},
    )


def _multiplied(_watch: _Watch, call: _Call) -> Link:
    factor = _number(call.args[1])
    return Link("scale", {}, {"factor": factor, "offset": factor * 0})


def _divided(_watch: _Watch, call: _Call) -> Link:
    factor = 1 / _number(call.args[1])
    return Link("scale", {}, {"factor": factor, "offset": factor * 0})


def _number(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        raise NoChainError("a product of another kind")
    return torch.tensor([float(value)])


def _activated(name: str) -> _Of:
    return lambda _watch, _call: Link("activation", {"name": name})


def _gelu(_watch: _Watch, call: _Call) -> Link:
    is_tanh = call.kwargs.get("approximate", "none") == "tanh"
    return Link("activation", {"name": "gelu_tanh" if is_tanh else "gelu"})


def _clipped(_watch: _Watch, call: _Call) -> Link:
    if (call.given(1, -1), call.given(2, 1)) != (0, 6):
        raise NoChainError("values are clipped to another range")
    return Link("activation", {"name": "relu6"})


def _pair(value: Any) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else (value[0], value[-1])
    return int(first), int(second)


_PLAIN = ("relu", "sigmoid", "tanh", "silu", "hardsigmoid", "hardswish")
#: Name of an ATen operation, without what marks it as one in place -> what it is in the chain.
_OPERATIONS: dict[str, _Of] = {
    **{name: _activated(name) for name in _PLAIN},
    "gelu": _gelu,
    "hardtanh": _clipped,
    "relu6": _activated("relu6"),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "flatten", "squeeze"), _viewed),
    **dict.fromkeys(("unsqueeze", "as_strided", "clone", "alias", "detach"), _viewed),
    **dict.fromkeys(("contiguous", "native_dropout", "dropout"), _same),
    "permute": _permuted,
    "mean": _mean,
    "max_pool2d_with_indices": _max_pooled,
    "max_pool2d": _max_pooled,
    "_adaptive_avg_pool2d": _average_pooled,
    "addmm": _added_product,
    "mm": _product,
    "linear": _linear,
    "convolution": _convolved,
    "native_batch_norm": _batch_normed,
    "_native_batch_norm_legit_no_training": _batch_normed,
    "native_layer_norm": _layer_normed,
    "mul": _multiplied,
    "div": _divided,
}
