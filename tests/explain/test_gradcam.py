from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdray.explain import Explanation
from kdray.maps import scaled
from kdray.net import Net, Tap

CLASSES = torch.tensor([[0], [1]])
RED = (slice(0, 4), slice(12, 16))
Maps = Callable[..., Tensor]


def test_grad_cam_is_its_equation_differentiated_through_the_whole_network(
    random_net: Net, images: Tensor, maps_of: Maps
) -> None:
    first, _, _, head = random_net.module.double()
    maps = first(images.double())
    maps.retain_grad()
    logits = head(maps.relu().flatten(1))
    (logits[0, 0] + logits[1, 1]).backward()
    weights = maps.grad.mean(dim=(2, 3), keepdim=True)
    heat = (weights * maps).sum(dim=1, keepdim=True).relu()
    expected = torch.from_numpy(scaled(heat.detach().numpy(), (16, 16)))[:, 0]
    random_net.module.float()
    part = "gradcam"
    found = maps_of(part, random_net, images)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_classes_explained_together_have_the_maps_of_each_alone(
    random_net: Net, images: Tensor, explain: Callable[..., Explanation]
) -> None:
    together = explain("gradcam", random_net, images, torch.tensor([[0, 1, 2], [2, 0, 1]])).maps
    for place in range(3):
        classes = torch.tensor([[0, 1, 2], [2, 0, 1]])[:, place : place + 1]
        alone = explain("gradcam", random_net, images, classes).maps[:, 0]
        np.testing.assert_allclose(together[:, place], alone, atol=1e-6)


def test_one_forward_pass_serves_all_classes(
    random_net: Net, images: Tensor, explain: Callable[..., Explanation]
) -> None:
    calls: list[int] = []
    random_net.module.register_forward_hook(lambda *_: calls.append(1))
    found = explain("gradcam", random_net, images, torch.tensor([[0, 1, 2], [2, 0, 1]]))
    assert len(calls) == 1
    assert found.forwards == 2


class Ignoring(nn.Module):
    """Gives logits that depend on no map, on their mean, or on minus their mean."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.maps, self.factor = nn.Conv2d(3, 2, 4, stride=4), factor
        nn.init.constant_(self.maps.weight, 0.1)

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * self.maps(images).relu().mean((2, 3))


@pytest.mark.parametrize(
    ("factor", "size", "reason"),
    [
        (0.0, 16, "all gradients at tap `cam` are 0"),
        (-1.0, 16, "no place speaks for the class, every weighted sum at tap `cam` is negative"),
        (1.0, 4, "tap `cam` has a single place"),
    ],
)
def test_a_blank_map_says_why(
    factor: float, size: int, reason: str, explain: Callable[..., Explanation]
) -> None:
    net = Net(Ignoring(factor), {"cam": Tap("maps")})
    light = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    found = explain("gradcam", net, light + 1, torch.tensor([[0, 1]]))
    assert [reason in found.degenerate[0, place] for place in (0, 1)] == [True, True]
    assert np.isnan(found.maps).all()


def test_a_map_of_zeros_says_so(
    net: Net, images: Tensor, explain: Callable[..., Explanation]
) -> None:
    found = explain("gradcam", net, torch.zeros_like(images))
    assert found.degenerate[0, 0] == "the map is blank: all values at tap `cam` are 0."
