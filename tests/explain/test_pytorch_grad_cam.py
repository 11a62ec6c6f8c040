"""The gradient methods and Eigen-CAM give the maps of pytorch-grad-cam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from numpy.typing import NDArray
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction
from torch import Tensor, nn

from kdray.explain import Subject, explain_with
from kdray.maps import scaled
from kdray.models import build_model
from kdray.net import Net, Tap, Wants, look

PEERS = {"gradcam": "GradCAM", "gradcampp": "GradCAMPlusPlus", "layercam": "LayerCAM"}
SIZE, CLASSES = 64, 4
Reshape = Callable[[Tensor], Tensor]


def small() -> Net:
    """Return a net whose gradients differ from place to place."""
    maps = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.SiLU())
    head = nn.Sequential(nn.Flatten(), nn.Linear(12 * 13 * 13, 16), nn.Hardswish())
    module = nn.Sequential(maps, head, nn.Linear(16, CLASSES))
    return Net(module, {"cam": Tap("0")})


def from_zoo(name: str, **params: Any) -> Net:
    return build_model(name, params, channels=3, classes=CLASSES, image_size=SIZE)


def without_prefix(prefix: int) -> Reshape:
    """Return pytorch-grad-cam's own recipe for a vision transformer of 4 x 4 patches."""

    def reshape(tokens: Tensor) -> Tensor:
        maps = tokens[:, prefix:, :].reshape(tokens.size(0), 4, 4, tokens.size(2))
        return maps.transpose(2, 3).transpose(1, 2)

    return reshape


def rows_first(maps: Tensor) -> Tensor:
    return maps.transpose(2, 3).transpose(1, 2)


#: Net -> how to build it, and how pytorch-grad-cam must reshape its layer.
CASES: dict[str, tuple[Callable[[], Net], Reshape | None]] = {
    "small": (small, None),
    "mobilenetv3_small": (lambda: from_zoo("mobilenetv3_small"), None),
    "ghostnet_100": (lambda: from_zoo("ghostnet_100"), None),
    "resnet10t": (lambda: from_zoo("timm", arch="resnet10t"), None),
    "cskd_tiny": (lambda: from_zoo("cskd_tiny"), without_prefix(2)),
    "test_vit": (lambda: from_zoo("timm", arch="test_vit"), without_prefix(1)),
    "swin": (lambda: from_zoo("timm", arch="swin_tiny_patch4_window7_224"), rows_first),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Net, Reshape | None]:
    """Return a net whose second class is the opposite of its first: one of them has a map."""
    build, reshape = CASES[str(request.param)]
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        net = build()
        for layer in net.module.modules():
            if isinstance(layer, nn.Linear) and layer.out_features == CLASSES:
                nn.init.normal_(layer.weight)
                layer.weight[1] = -layer.weight[0]
    net.module.eval()
    return net, reshape


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def theirs(
    method: str, case: tuple[Net, Reshape | None], images: Tensor, number: int
) -> NDArray[np.float32]:
    net, reshape = case
    cam = getattr(pytorch_grad_cam, PEERS[method])
    with cam(net.module, [net.layer("cam")], reshape_transform=reshape) as peer:
        found: NDArray[np.float32] = peer(
            images.clone(), [ClassifierOutputTarget(number)] * len(images)
        )
    return found


@pytest.mark.parametrize("method", PEERS)
def test_maps_are_those_of_pytorch_grad_cam(
    method: str, case: tuple[Net, Reshape | None], images: Tensor
) -> None:
    numbers = (0, 1, 2)
    expected = np.stack([theirs(method, case, images, number) for number in numbers], axis=1)
    found = explain_with(method, Subject(case[0]), images, torch.tensor([numbers, numbers]))
    blank = {place for place in np.ndindex(2, 3) if np.ptp(expected[place]) == 0}
    assert set(found.degenerate) == blank
    assert len(blank) < 6
    for place in set(np.ndindex(2, 3)) - blank:
        both = found.maps[place].ravel(), expected[place].ravel()
        assert np.corrcoef(*both)[0, 1] >= 0.9999


def test_the_class_and_its_opposite_are_not_both_blank_by_grad_cam(
    case: tuple[Net, Reshape | None], images: Tensor
) -> None:
    classes = torch.tensor([[0, 1], [0, 1]])
    found = explain_with("gradcam", Subject(case[0]), images, classes)
    assert all(len({(i, 0), (i, 1)} & set(found.degenerate)) < 2 for i in range(2))


def test_eigen_cam_is_their_projection_with_the_sign_corrected(
    case: tuple[Net, Reshape | None], images: Tensor
) -> None:
    net, _ = case
    with torch.no_grad():
        maps = look(net, images, Wants(("cam",))).maps["cam"]
    projected = np.maximum(get_2d_projection_with_sign_correction(maps.numpy()), 0)
    expected = scaled(projected[:, None], (SIZE, SIZE))
    found = explain_with("eigencam", Subject(net), images, torch.tensor([[0], [0]])).checked()
    np.testing.assert_allclose(found.maps, expected, atol=2e-3)


def test_eigen_cam_is_theirs_or_its_background(
    case: tuple[Net, Reshape | None], images: Tensor
) -> None:
    net, reshape = case
    with pytorch_grad_cam.EigenCAM(
        net.module, [net.layer("cam")], reshape_transform=reshape
    ) as peer:
        expected = peer(images.clone(), [ClassifierOutputTarget(0)] * 2)
    found = explain_with("eigencam", Subject(net), images, torch.tensor([[0], [0]])).maps[:, 0]
    for ours, other in zip(found, expected, strict=True):
        alike = np.corrcoef(ours.ravel(), other.ravel())[0, 1]
        assert alike > 0.9999 or alike < 0
