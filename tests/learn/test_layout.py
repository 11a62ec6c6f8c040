from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdray.data import Dataset
from kdray.learn import Labels, fit
from kdray.learn.layout import lay_out, memory_format
from kdray.learn.optim import optimizer
from kdray.net import Net, Tap, Wants, look
from kdray.spec.experiment import Train
from tests.learn.small import make_batches


def convolutional() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, groups=6),
            nn.Conv2d(6, 8, 1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 3),
        )


class GhostNet(nn.Sequential):
    """A network of a family that gains nothing."""


def is_last(module: nn.Module) -> bool:
    weight = module.get_submodule("6").weight
    assert isinstance(weight, Tensor)
    return weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("device", "precision", "last"),
    [
        ("cpu", "float32", True),
        ("cpu", "bfloat16", True),
        ("cuda:0", "float32", False),
        ("cuda:0", "bfloat16", True),
        ("cuda", "float16", True),
    ],
)
def test_convolutions_have_the_order_that_is_fast_on_their_device(
    device: str, precision: str, last: bool
) -> None:
    found = memory_format(convolutional(), device, "auto", precision)
    assert (found == torch.channels_last) is last


def test_a_family_that_gains_nothing_stays_as_it_is() -> None:
    module = GhostNet(*convolutional())
    assert memory_format(module, "cpu") == torch.contiguous_format
    assert memory_format(module, "cpu", "channels_last") == torch.channels_last


def test_a_network_of_few_convolutions_stays_as_it_is() -> None:
    module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Flatten(), nn.Linear(600, 3))
    assert memory_format(module, "cpu") == torch.contiguous_format


def test_an_order_that_is_asked_for_is_taken() -> None:
    module = convolutional()
    lay_out(module, "cpu", "contiguous")
    assert not is_last(module)
    lay_out(module, "cuda", "channels_last")
    assert is_last(module)


def test_looks_at_a_net_are_the_same_in_both_orders() -> None:
    images = torch.randn(4, 1, 12, 12)
    plain, last = convolutional().eval(), convolutional().eval()
    lay_out(last, "cpu")
    taps = {"early": Tap("2"), "late": Tap("6")}
    seen, other = (
        look(Net(module, taps), images, Wants(taps=("early", "late"))) for module in (plain, last)
    )
    torch.testing.assert_close(seen.logits, other.logits)
    for name in taps:
        torch.testing.assert_close(seen.maps[name], other.maps[name])


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_an_optimizer_moves_weights_alike_in_both_orders_and_as_its_plain_form(name: str) -> None:
    images, labels = torch.randn(6, 1, 12, 12), torch.arange(6) % 3
    settings = Train(optimizer=name, learning_rate=0.01, weight_decay=0.1)
    plain, ours, last = (convolutional() for _ in range(3))
    lay_out(last, "cpu")
    fused = {module: optimizer(module.parameters(), settings) for module in (ours, last)}
    slow = optimizer(plain.parameters(), settings)
    slow.param_groups[0]["fused"] = False
    for _ in range(3):
        for module, optim in ((plain, slow), *fused.items()):
            optim.zero_grad()
            F.cross_entropy(module(images), labels).backward()
            optim.step()
    for weight, *others in zip(*(m.parameters() for m in (plain, ours, last)), strict=True):
        for other in others:
            torch.testing.assert_close(other, weight, rtol=2e-4, atol=2e-5)


def test_training_lays_the_net_out_and_learns_the_same(dataset: Dataset) -> None:
    states = {}
    for order in ("auto", "channels_last", "contiguous"):
        module = convolutional()
        settings = Train(epochs=2, learning_rate=0.01, memory_format=order, optimizer="sgd")
        states[order] = fit(Net(module), Labels(), make_batches(dataset), settings).state
        assert is_last(module) is (order != "contiguous")
    for name, value in states["contiguous"].items():
        assert torch.equal(states["auto"][name], states["channels_last"][name])
        torch.testing.assert_close(states["auto"][name], value, rtol=1e-3, atol=1e-4)
