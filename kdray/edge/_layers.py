"""The few layers that stand between the last maps of a network and its logits, in NumPy.

Each gives what it makes of its input, and the gradient at its input for the gradient at its
output; gradients have one axis more in front: ``K`` results whose gradients are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Layer(Protocol):
    """A step from the maps to the logits."""

    def forward(self, x: Floats) -> Floats:
        """Return what the layer makes of ``x`` ``[B, ...]``."""

    def backward(self, x: Floats, gradient: Floats) -> Floats:
        """Return the gradient at ``x``, of ``K`` results ``[K, B, ...]``."""


@dataclass(frozen=True)
class Mean:
    """The mean over the places: ``[B, D, h, w]`` to ``[B, D]``."""

    def forward(self, x: Floats) -> Floats:
        """Return ``[B, D]``."""
        return np.asarray(x.mean(axis=(2, 3), dtype=np.float32))

    def backward(self, x: Floats, gradient: Floats) -> Floats:
        """Return ``[K, B, D, 1, 1]``: all places have the same gradient."""
        places = np.float32(x.shape[2] * x.shape[3])
        return np.asarray(gradient / places)[..., None, None]


@dataclass(frozen=True)
class MaxPool:
    """The largest of each window that touches no other: ``[B, D, h, w]`` to smaller maps."""

    size: tuple[int, int]

    def forward(self, x: Floats) -> Floats:
        """Return ``[B, D, h // rows, w // columns]``."""
        return np.asarray(self._windows(x).max(axis=-1))

    def backward(self, x: Floats, gradient: Floats) -> Floats:
        """Return the gradient where the first of the largest values is, ``[K, B, D, h, w]``."""
        windows = self._windows(x)
        chosen = windows.argmax(axis=-1)[..., None] == np.arange(windows.shape[-1])
        spread = np.asarray(gradient[..., None] * chosen)
        rows, columns = self.size
        *outer, height, width = spread.shape[:-1]
        spread = spread.reshape(*outer, height, width, rows, columns)
        whole = np.zeros((*outer, *x.shape[2:]), dtype=np.float32)
        inner = np.moveaxis(spread, -2, -3).reshape(*outer, height * rows, width * columns)
        whole[..., : height * rows, : width * columns] = inner
        return whole

    def _windows(self, x: Floats) -> Floats:
        rows, columns = self.size
        height, width = x.shape[2] // rows, x.shape[3] // columns
        cut = x[:, :, : height * rows, : width * columns]
        split = cut.reshape(*x.shape[:2], height, rows, width, columns)
        return np.moveaxis(split, 3, 4).reshape(*x.shape[:2], height, width, rows * columns)


@dataclass(frozen=True)
class AveragePool:
    """Means of nearly equal parts, as many as asked for: ``[B, D, h, w]`` to a fixed grid."""

    grid: tuple[int, int]

    def forward(self, x: Floats) -> Floats:
        """Return ``[B, D, rows, columns]``."""
        down, across = self._shares(x)
        return np.asarray(down @ x @ across.T)

    def backward(self, x: Floats, gradient: Floats) -> Floats:
        """Return ``[K, B, D, h, w]``."""
        down, across = self._shares(x)
        return np.asarray(down.T @ gradient @ across)

    def _shares(self, x: Floats) -> tuple[Floats, Floats]:
        rows, columns = self.grid
        return _shares(rows, x.shape[2]), _shares(columns, x.shape[3])


@dataclass(frozen=True)
class Flatten:
    """All values of an image in a row.

    Args:
        channels_last: Whether the channels of a place stand together.
    """

    channels_last: bool = False

    def forward(self, x: Floats) -> Floats:
        """Return ``[B, D * h * w]``."""
        ordered = np.moveaxis(x, 1, 3) if self.channels_last else x
        return ordered.reshape(len(x), -1)

    def backward(self, x: Floats, gradient: Floats) -> Floats:
        """Return ``[K, B, D, h, w]``."""
        batch, depth, height, width = x.shape
        if not self.channels_last:
            return gradient.reshape(-1, batch, depth, height, width)
        return np.moveaxis(gradient.reshape(-1, batch, height, width, depth), 4, 2)


@dataclass(frozen=True)
class Affine:
    """A linear layer, or a convolution of a single place: ``[B, I]`` to ``[B, O]``.

    Args:
        weight: ``[O, I]``.
        bias: ``[O]``.
    """

    weight: Floats
    bias: Floats

    def forward(self, x: Floats) -> Floats:
        """Return ``[B, O]``."""
        return np.asarray(x @ self.weight.T + self.bias)

    def backward(self, x: Floats, gradient: Floats) -> Floats:
        """Return ``[K, B, I]``."""
        return np.asarray(gradient @ self.weight)


@dataclass(frozen=True)
class Scale:
    """A factor and an offset of each channel, as of a batch norm in eval mode.

    Args:
        factor: ``[D]``, or one for all.
        offset: ``[D]``, or one for all.
    """

    factor: Floats
    offset: Floats

    def forward(self, x: Floats) -> Floats:
        """Return ``[B, D]`` or ``[B, D, h, w]``, as ``x``."""
        return np.asarray(x * self._fit(self.factor, x) + self._fit(self.offset, x))

    def backward(self, x: Floats, gradient: Floats) -> Floats:
        """Return the gradient, of the same shape."""
        return np.asarray(gradient * self._fit(self.factor, x))

    def _fit(self, values: Floats, x: Floats) -> Floats:
        return values.reshape(values.shape + (1,) * (x.ndim - 2))


@dataclass(frozen=True)
class LayerNorm:
    """Each image's values standardised, then scaled: ``[B, D]``.

    Args:
        weight: ``[D]``.
        bias: ``[D]``.
        epsilon: Added to the variance.
    """

    weight: Floats
    bias: Floats
    epsilon: float

    def forward(self, x: Floats) -> Floats:
        """Return ``[B, D]``."""
        standard, _ = self._standard(x)
        return np.asarray(standard * self.weight + self.bias)

    def backward(self, x: Floats, gradient: Floats) -> Floats:
        """Return ``[K, B, D]``."""
        standard, deviation = self._standard(x)
        weighted = gradient * self.weight
        along = (weighted * standard).mean(axis=-1, keepdims=True)
        return np.asarray(
            (weighted - weighted.mean(axis=-1, keepdims=True) - standard * along) / deviation
        )

    def _standard(self, x: Floats) -> tuple[Floats, Floats]:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        deviation = np.sqrt(variance + np.float32(self.epsilon))
        return centred / deviation, deviation


@dataclass(frozen=True)
class Activation:
    """A function of each value; see ``ACTIVATIONS`` for the names."""

    name: str

    def forward(self, x: Floats) -> Floats:
        """Return the same shape."""
        return np.asarray(ACTIVATIONS[self.name][0](x))

    def backward(self, x: Floats, gradient: Floats) -> Floats:
        """Return the gradient, of the same shape."""
        return np.asarray(gradient * ACTIVATIONS[self.name][1](x))


@dataclass(frozen=True)
class Described:
    """A layer as ``serving.json`` has it.

    Args:
        kind: One of ``KINDS``.
        settings: Its numbers and names.
        arrays: Name of an argument -> name of an array.
    """

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, str] = field(default_factory=dict)


def layer_of(description: Described, arrays: Mapping[str, NDArray[Any]]) -> Layer:
    """Return a layer of its description.

    Raises:
        KeyError: There is no such kind or array.
        ValueError: An array has not the shape of such a layer.
    """
    make, settings = KINDS[description.kind], dict(description.settings)
    for name in ("size", "grid"):
        if name in settings:
            settings[name] = tuple(int(number) for number in settings[name])
    if settings.get("name", "relu") not in ACTIVATIONS:
        raise KeyError(settings["name"])
    given = {key: _floats(arrays[name]) for key, name in description.arrays.items()}
    if description.kind == "affine":
        given["weight"] = given["weight"].reshape(len(given["weight"]), -1)
        given.setdefault("bias", np.zeros(len(given["weight"]), dtype=np.float32))
    return make(**settings, **given)


def _floats(array: NDArray[Any]) -> Floats:
    return np.ascontiguousarray(array, dtype=np.float32)


def _shares(parts: int, length: int) -> Floats:
    """Return what each place gives to the mean of each part, ``[parts, length]``.

    Part ``i`` reaches from the floor of ``i * length / parts`` to the ceiling of its end, as of
    ``torch.nn.AdaptiveAvgPool2d``.
    """
    shares = np.zeros((parts, length), dtype=np.float32)
    for part in range(parts):
        first, end = part * length // parts, -(-(part + 1) * length // parts)
        shares[part, first:end] = 1 / (end - first)
    return shares


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def _sigmoid_slope(x: Floats) -> Floats:
    one = _sigmoid(x)
    return np.asarray(one * (1 - one))


def _normal_share(x: Floats) -> Floats:
    """Return the share of a normal distribution below ``x``, to 1e-7.

    The error function by Abramowitz and Stegun, Handbook of Mathematical Functions (1964),
    formula 7.1.26; NumPy has none.
    """
    z = np.abs(x) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    factors = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    series = np.zeros_like(t)
    for factor in factors:
        series = (series + factor) * t
    return np.asarray(0.5 * (1 + np.sign(x) * (1 - series * np.exp(-z * z))))


def _normal_density(x: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))


def _hardsigmoid(x: Floats) -> Floats:
    return np.clip(x / 6 + 0.5, 0, 1)


def _inside(x: Floats) -> Floats:
    return np.asarray((x > -3) & (x < 3), dtype=np.float32)


def _tanh_gelu(x: Floats) -> Floats:
    return np.asarray(0.5 * x * (1 + np.tanh(_inner(x))))


def _tanh_gelu_slope(x: Floats) -> Floats:
    tanh = np.tanh(_inner(x))
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return np.asarray(0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * slope)


def _inner(x: Floats) -> Floats:
    return np.asarray(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))


_Of = Callable[[Floats], Any]
#: Name -> function and slope.
ACTIVATIONS: dict[str, tuple[_Of, _Of]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: x > 0),
    "relu6": (lambda x: np.clip(x, 0, 6), lambda x: (x > 0) & (x < 6)),
    "sigmoid": (_sigmoid, _sigmoid_slope),
    "tanh": (np.tanh, lambda x: 1 - np.square(np.tanh(x))),
    "silu": (lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) + x * _sigmoid_slope(x)),
    "gelu": (
        lambda x: x * _normal_share(x),
        lambda x: _normal_share(x) + x * _normal_density(x),
    ),
    "gelu_tanh": (_tanh_gelu, _tanh_gelu_slope),
    "hardsigmoid": (_hardsigmoid, lambda x: _inside(x) / 6),
    "hardswish": (
        lambda x: x * _hardsigmoid(x),
        lambda x: np.where(x >= 3, 1, np.where(x <= -3, 0, x / 3 + 0.5)),
    ),
}
KINDS: dict[str, Callable[..., Layer]] = {
    "mean": Mean,
    "max_pool": MaxPool,
    "average_pool": AveragePool,
    "flatten": Flatten,
    "affine": Affine,
    "scale": Scale,
    "layer_norm": LayerNorm,
    "activation": Activation,
}
