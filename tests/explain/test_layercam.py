from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdray.maps import scaled
from kdray.net import Net


def test_layer_cam_weighs_each_place_by_its_own_positive_gradient(
    random_net: Net, images: Tensor, maps_of: Callable[..., Tensor]
) -> None:
    first, _, _, head = random_net.module.double()
    values = first(images.double()).detach()
    weights = head.weight.detach().reshape(3, *values.shape[1:])[:2]  # of class 0, of class 1
    gradients = torch.where(values > 0, weights, 0.0)
    expected = (gradients.clamp_min(0) * values).sum(dim=1, keepdim=True).relu()
    random_net.module.float()
    found = maps_of("layercam", random_net, images)
    full = torch.from_numpy(scaled(expected.numpy(), (16, 16)))
    torch.testing.assert_close(found, full[:, 0], atol=1e-5, rtol=0)
