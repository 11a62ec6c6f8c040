from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from kdray.models import lay_out, memory_format
from kdray.net import Net, Tap, Wants, look


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
