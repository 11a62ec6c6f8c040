from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdray.maps import scaled
from kdray.net import Net


def test_grad_cam_plus_plus_is_its_equation_place_by_place(
    random_net: Net, images: Tensor, maps_of: Callable[..., Tensor]
) -> None:
    first, _, _, head = random_net.module.double()
    values = first(images.double()).detach().requires_grad_()
    logits = head(values.relu().flatten(1))
    [gradients] = torch.autograd.grad(logits[0, 0] + logits[1, 1], values)
    expected = torch.zeros(2, 1, *values.shape[2:], dtype=torch.float64)
    for image in range(2):
        for value, gradient in zip(values[image].detach(), gradients[image], strict=True):
            weight = 0.0
            for g in gradient.flatten().tolist():
                alpha = g**2 / (2 * g**2 + g**3 * float(value.sum()) + 1e-6)
                weight += alpha * max(g, 0.0)
            expected[image, 0] += weight * value
    random_net.module.float()
    found = maps_of("gradcampp", random_net, images)
    expected_maps = torch.from_numpy(scaled(expected.relu().numpy(), (16, 16)))[:, 0]
    torch.testing.assert_close(found, expected_maps, atol=1e-4, rtol=0)
