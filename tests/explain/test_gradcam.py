from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdray.explain._maps import scaled
from kdray.net import Net

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
    expected = scaled((weights * maps).sum(dim=1, keepdim=True).relu(), (16, 16))[:, 0]
    random_net.module.float()
    part = "gradcam"
    found = maps_of(part, random_net, images)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
