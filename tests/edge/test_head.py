"""Layers in NumPy give the numbers of PyTorch, and whatever else follows is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from kdray.edge._layers import ACTIVATIONS, Mean
from kdray.edge.head import Head
from kdray.errors import RegistryError
from kdray.export._chain import NoChainError, chain_after
from kdray.export._head import head_of
from kdray.net import Net, Tap

DEPTH, CLASSES, SIDE = 6, 4, 5


class Small(nn.Module):
    """Maps of a convolution, then whatever is tested."""

    def __init__(self, rest: nn.Module, layout: str = "NCHW") -> None:
        super().__init__()
        self.layout = layout
        self.trunk = nn.Conv2d(1, DEPTH, 3, padding=1)
        self.maps = nn.Identity()
        self.rest = rest

    def forward(self, images: Tensor) -> Tensor:
        maps = self.trunk(images)
        maps = maps.permute(0, 2, 3, 1).contiguous() if self.layout == "NHWC" else maps
        result: Tensor = self.rest(self.maps(maps))
        return result


class Called(nn.Module):
    """A function, and layers that it may use."""

    def __init__(self, call: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.call = call
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, maps: Tensor) -> Tensor:
        return self.call(self, maps)


def rows(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers)


def linear(inputs: int = DEPTH, outputs: int = CLASSES) -> nn.Linear:
    return nn.Linear(inputs, outputs)


def normed(layer: Any) -> Any:
    """Return a batch norm with other statistics than those of its start."""
    with torch.no_grad():
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
        layer.weight.normal_()
        layer.bias.normal_()
    return layer


#: What follows the maps -> the kinds of its layers.
KNOWN: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "mean": (lambda: rows(linear()), ["mean", "affine"]),
    "mean by a call": (
        lambda: Called(lambda own, maps: own.fc(maps.mean((2, 3))), fc=linear()),
        ["mean", "affine"],
    ),
    "without bias": (lambda: rows(nn.Linear(DEPTH, CLASSES, bias=False)), ["mean", "affine"]),
    "dropout": (lambda: rows(nn.Dropout(0.5), linear()), ["mean", "affine"]),
    "two layers": (
        lambda: rows(linear(DEPTH, 9), nn.Hardswish(inplace=True), linear(9)),
        ["mean", "affine", "activation", "affine"],
    ),
    "convolution of one place": (
        lambda: nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(DEPTH, 9, 1), nn.ReLU(), nn.Flatten(), linear(9)
        ),
        ["mean", "affine", "activation", "affine"],
    ),
    "activation of the maps": (
        lambda: nn.Sequential(nn.ReLU(inplace=True), rows(linear())),
        ["activation", "mean", "affine"],
    ),
    "batch norm of the maps": (
        lambda: nn.Sequential(normed(nn.BatchNorm2d(DEPTH)), nn.ReLU(), rows(linear())),
        ["scale", "activation", "mean", "affine"],
    ),
    "batch norm of the row": (
        lambda: rows(normed(nn.BatchNorm1d(DEPTH)), linear()),
        ["mean", "scale", "affine"],
    ),
    "layer norm": (
        lambda: rows(nn.LayerNorm(DEPTH), linear()),
        ["mean", "layer_norm", "affine"],
    ),
    "a factor": (
        lambda: Called(lambda own, maps: own.rest(maps) * 0.5 / 3, rest=rows(linear())),
        ["mean", "affine", "scale", "scale"],
    ),
    "largest of windows": (
        lambda: nn.Sequential(nn.MaxPool2d(2), rows(linear())),
        ["max_pool", "mean", "affine"],
    ),
    "all places in a row": (
        lambda: nn.Sequential(nn.Flatten(), linear(DEPTH * SIDE * SIDE)),
        ["flatten", "affine"],
    ),
    "means of parts in a row": (
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten(), linear(DEPTH * 6)),
        ["average_pool", "flatten", "affine"],
    ),
}
#: What follows the maps -> why it is no chain.
UNKNOWN: dict[str, Callable[[], nn.Module]] = {
    "a sum of two ways": lambda: Called(
        lambda own, maps: own.fc(maps.mean((2, 3)) + maps.amax((2, 3))), fc=linear()
    ),
    "a way around": lambda: Called(
        lambda own, maps: own.fc(functional.relu(maps.mean((2, 3))) + maps.mean((2, 3))),
        fc=linear(),
    ),
    "softmax": lambda: rows(linear(), nn.Softmax(dim=1)),
    "a mean over rows alone": lambda: Called(
        lambda own, maps: own.fc(maps.mean(2).flatten(1)), fc=linear(DEPTH * SIDE)
    ),
    "a convolution of several places": lambda: nn.Sequential(
        nn.Conv2d(DEPTH, DEPTH, 3), rows(linear())
    ),
    "windows that touch": lambda: nn.Sequential(nn.MaxPool2d(3, 1), rows(linear())),
    "a choice of values": lambda: Called(
        lambda own, maps: own.fc(maps.mean((2, 3)))[:, :2], fc=linear()
    ),
    "nothing": lambda: nn.Sequential(nn.Identity()),
}


def small(rest: nn.Module, layout: str = "NCHW") -> Net:
    net = Net(Small(rest, layout).eval(), {"cam": Tap("maps", layout)})
    net.module.requires_grad_(False)
    return net


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


def found(net: Net) -> tuple[list[dict[str, Any]] | None, dict[str, Any]]:
    return head_of(net, "cam", images(), net.module.state_dict())


def head(net: Net) -> Head:
    facts, arrays = found(net)
    assert facts is not None
    weights = {
        f"weights.{name}": tensor.numpy() for name, tensor in net.module.state_dict().items()
    }
    return Head.read(facts, {**weights, **arrays})


def pytorch(net: Net, maps: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits, and gradients ``[K, B, D, h, w]``, of the layers after the maps."""
    leaf = maps.clone().requires_grad_()
    last = net.taps["cam"].layout == "NHWC"
    logits = net.module.rest(leaf.permute(0, 2, 3, 1) if last else leaf.clone())  # type: ignore[operator]
    gradients = [
        torch.autograd.grad(logits.gather(1, column[:, None]).sum(), leaf, retain_graph=True)[0]
        for column in classes.T
    ]
    return logits.detach(), torch.stack(gradients)


@pytest.mark.parametrize("name", KNOWN)
def test_logits_and_gradients_are_those_of_pytorch(name: str) -> None:
    torch.manual_seed(0)
    make, kinds = KNOWN[name]
    net = small(make())
    facts, _ = found(net)
    assert facts is not None
    assert [layer["kind"] for layer in facts] == kinds
    maps, classes = torch.randn(3, DEPTH, SIDE, SIDE), torch.tensor([[0, 3], [2, 1], [1, 1]])
    logits, gradients = pytorch(net, maps, classes)
    own = head(net)
    np.testing.assert_allclose(own.logits(maps.numpy()), logits, rtol=1e-4, atol=1e-5)
    ours = own.gradients(maps.numpy(), classes.numpy())
    assert ours.shape[3:] == ((1, 1) if own.by_mean else (SIDE, SIDE))
    np.testing.assert_allclose(
        np.broadcast_to(ours, gradients.shape), gradients, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_no_chain_of_known_layers_has_no_head(name: str) -> None:
    torch.manual_seed(0)
    net = small(UNKNOWN[name]())
    with pytest.raises(NoChainError):
        chain_after(net, "cam", images())
    assert found(net) == (None, {})


def test_a_network_that_looks_at_its_images_again_has_no_head() -> None:
    class Again(Small):
        def forward(self, images: Tensor) -> Tensor:
            result: Tensor = self.rest(self.maps(self.trunk(images)) + images)
            return result

    net = Net(Again(rows(linear())).eval(), {"cam": Tap("maps")})
    with pytest.raises(NoChainError):
        chain_after(net, "cam", images())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_layout_of_the_network_makes_no_difference(layout: str) -> None:
    torch.manual_seed(0)
    dims = (1, 2) if layout == "NHWC" else (2, 3)
    net = small(Called(lambda own, maps: own.fc(maps.mean(dims)), fc=linear()), layout)
    maps, classes = torch.randn(2, DEPTH, SIDE, SIDE), torch.tensor([[1], [2]])
    logits, gradients = pytorch(net, maps, classes)
    np.testing.assert_allclose(head(net).logits(maps.numpy()), logits, rtol=1e-4, atol=1e-6)
    ours = head(net).gradients(maps.numpy(), classes.numpy())
    np.testing.assert_allclose(
        np.broadcast_to(ours, gradients.shape), gradients, rtol=1e-4, atol=1e-7
    )


def test_all_places_of_channels_last_stand_in_a_row_as_in_pytorch() -> None:
    torch.manual_seed(0)
    net = small(nn.Sequential(nn.Flatten(), linear(DEPTH * SIDE * SIDE)), "NHWC")
    maps, classes = torch.randn(2, DEPTH, SIDE, SIDE), torch.tensor([[1], [2]])
    logits, gradients = pytorch(net, maps, classes)
    np.testing.assert_allclose(head(net).logits(maps.numpy()), logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        head(net).gradients(maps.numpy(), classes.numpy()), gradients, rtol=1e-4, atol=1e-6
    )


FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "hardsigmoid": functional.hardsigmoid,
    "hardswish": functional.hardswish,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_and_its_slope_are_those_of_pytorch(name: str) -> None:
    x = torch.linspace(-8, 8, 801) + 0.003  # beside the places where a slope jumps
    leaf = x.clone().requires_grad_()
    y = FUNCTIONS[name](leaf)
    [slope] = torch.autograd.grad(y.sum(), leaf)
    value, own = ACTIVATIONS[name]
    np.testing.assert_allclose(value(x.numpy()), y.detach(), rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(own(x.numpy()), slope, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_activation_is_found(name: str) -> None:
    torch.manual_seed(0)
    net = small(Called(lambda own, maps: own.fc(FUNCTIONS[name](maps.mean((2, 3)))), fc=linear()))
    facts, _ = found(net)
    assert facts is not None
    assert facts[1]["settings"] == {"name": name}


def test_only_arrays_that_the_weights_lack_are_stored_again() -> None:
    torch.manual_seed(0)
    net = small(nn.Sequential(normed(nn.BatchNorm2d(DEPTH)), rows(linear())))
    facts, arrays = found(net)
    assert facts is not None
    assert sorted(arrays) == ["head.0.factor", "head.0.offset"]
    assert facts[-1]["arrays"] == {
        "weight": "weights.rest.1.2.weight",
        "bias": "weights.rest.1.2.bias",
    }


def test_a_head_whose_numbers_are_not_those_of_pytorch_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = small(rows(linear()))
    monkeypatch.setattr(Mean, "backward", lambda own, x, gradient: gradient[..., None, None])
    assert found(net) == (None, {})


@pytest.mark.parametrize(
    "layer",
    [
        {"kind": "softmax"},
        {"kind": "affine", "arrays": {"weight": "gone"}},
        {"kind": "activation", "settings": {"name": "exp"}},
        {"kind": "mean", "settings": {"places": 3}},
        {"sort": "mean"},
    ],
)
def test_a_damaged_description_is_refused(layer: dict[str, Any]) -> None:
    with pytest.raises(RegistryError, match="head: is damaged"):
        Head.read([layer], {})
