"""Gradients from a tap are those of the whole network, by whatever way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from kdray.explain import Subject
from kdray.explain._head import gradients_of, head_from
from kdray.explain._subject import Road
from kdray.net import Net, Tap

CLASSES = torch.tensor([[0, 2], [1, 1]])
Tail = Callable[[Tensor, Tensor], Tensor]


class Tailed(nn.Module):
    """A layer ``maps``, what ``tail`` reads of the image and of it, and a linear layer."""

    def __init__(self, tail: Tail) -> None:
        super().__init__()
        self.before, self.maps = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, stride=3)
        self.tail, self.last = tail, nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        before = self.before(images)
        logits: Tensor = self.last(torch.tanh(self.tail(before, self.maps(before))))
        return logits


def add_in_place(before: Tensor, maps: Tensor) -> Tensor:
    before += maps.mean()
    return before.mean((2, 3))


#: What reads the tap -> whether that is its mean alone, and whether all before it may run in
#: inference mode.
TAILS: dict[str, tuple[Tail, Road]] = {
    "mean": (lambda _, maps: maps.mean((2, 3)), Road(by_mean=True)),
    "pooling": (
        lambda _, maps: nn.functional.adaptive_avg_pool2d(maps, 1).flatten(1),
        Road(by_mean=True),
    ),
    "mean beside the image": (
        lambda before, maps: maps.mean((-1, -2)) + before.amax((2, 3)),
        Road(by_mean=True),
    ),
    "rectified in place": (lambda _, maps: maps.relu_().mean((2, 3)), Road()),
    "sum": (lambda _, maps: maps.sum((2, 3)), Road()),
    "mean and highest": (lambda _, maps: maps.mean((2, 3)) + maps.amax((2, 3)), Road()),
    "mean and its square": (lambda _, maps: maps.mean((2, 3)) * maps.square().mean(), Road()),
    "mean of rows": (lambda _, maps: maps.mean(2).amax(2), Road()),
    "mean of all channels": (lambda _, maps: maps.mean((1, 2, 3))[:, None].expand(-1, 6), Road()),
    "mean and a number without gradient": (
        lambda _, maps: maps.mean((2, 3)) + maps.detach().amax((2, 3)),
        Road(),
    ),
    "times what came before": (
        lambda before, maps: (before[:, :, :4, :4] * maps).mean((2, 3)),
        Road(inference=False),
    ),
    "into what came before": (add_in_place, Road(inference=False)),
}


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def net_with(tail: Tail) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net(Tailed(tail).eval(), {"cam": Tap("maps")})


def through_all(net: Net, images: Tensor) -> Tensor:
    """Return the gradients ``[K, B, D, h, w]`` at the layer, by one pass for each class."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen.append(output)
        return output.clone()

    handle = net.layer("cam").register_forward_hook(keep)
    logits = net.module(images.clone().requires_grad_())
    handle.remove()
    sums = [logits.gather(1, CLASSES[:, k : k + 1]).sum() for k in range(2)]
    return torch.stack([torch.autograd.grad(one, seen[0], retain_graph=True)[0] for one in sums])


@pytest.mark.parametrize("name", TAILS)
def test_gradients_are_those_of_the_whole_network_at_every_call(name: str, images: Tensor) -> None:
    net = net_with(TAILS[name][0])
    expected, subject = through_all(net, images), Subject(net)
    for _ in range(2):
        head = head_from(subject, "cam", images)
        found = gradients_of(head, CLASSES).expand_as(expected)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
        assert head.maps.shape == (2, 6, 4, 4)


@pytest.mark.parametrize("name", TAILS)
def test_only_a_tap_whose_mean_alone_is_read_is_passed_by_its_mean(
    name: str, images: Tensor
) -> None:
    tail, road = TAILS[name]
    subject = Subject(net_with(tail))
    head_from(subject, "cam", images)
    assert list(subject.roads.values()) == [road]


def test_a_way_is_found_once_for_each_size_of_images(images: Tensor) -> None:
    subject = Subject(net_with(TAILS["mean"][0]))
    calls: list[int] = []
    subject.net.module.register_forward_hook(lambda *_: calls.append(1))
    for batch in (images, images[:1], images[:, :, :9]):
        head_from(subject, "cam", batch)
    assert len(calls) == 2 + 1 + 2
    assert len(subject.roads) == 2


def test_no_hook_is_left_where_a_network_fails(images: Tensor) -> None:
    def fail(_before: Tensor, _maps: Tensor) -> Tensor:
        raise ValueError("broken")

    subject = Subject(net_with(fail))
    with pytest.raises(ValueError, match="broken"):
        head_from(subject, "cam", images)
    assert not subject.net.layer("cam")._forward_hooks
    assert not torch.is_inference_mode_enabled()
