"""Hand-made nets that look for one colour: class 0 is red, class 1 is green."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from kdray.explain import Explanation, Subject, explain_with
from kdray.net import Attention, Net, Tap

SIZE = 16
#: Rows and columns of the red and of the green patch.
RED = (slice(0, 4), slice(12, 16))
GREEN = (slice(8, 12), slice(0, 4))


class Colours(nn.Module):
    """Channel k of the map is the brightness of colour k; logit k is its sum."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.layout = layout
        self.colours = nn.Conv2d(3, 2, 4, stride=4, bias=False)
        self.seen = nn.Identity()
        self.rectify = nn.ReLU(inplace=True)
        with torch.no_grad():
            self.colours.weight.zero_()
            self.colours.weight[0, 0] = self.colours.weight[1, 1] = 1.0

    def forward(self, images: Tensor) -> Tensor:
        maps = self.colours(images)
        if self.layout == "NHWC":
            return self.rectify(self.seen(maps.permute(0, 2, 3, 1))).sum(dim=(1, 2))
        if self.layout == "tokens":
            patches = maps.flatten(2).transpose(1, 2)
            tokens = torch.cat([torch.full_like(patches[:, :1], 99.0), patches], dim=1)
            return self.rectify(self.seen(tokens))[:, 1:].sum(dim=1)
        return self.rectify(self.seen(maps)).sum(dim=(2, 3))


def colour_net(layout: str = "NCHW") -> Net:
    """Return a net with all that a method looks at; its cells attend to the bright ones."""
    tap, colours = Tap("seen", layout, grid=(4, 4), prefix=1), Tap("colours")
    taps = {"cam": tap, "stage1": colours, "texture": colours, "shape": colours}

    def matrix(_seen: nn.Module, output: Tensor) -> Tensor:
        weights = tap.as_maps(output).sum(1).flatten(1).softmax(1)
        return weights[:, None].expand(-1, weights.shape[1], -1)

    def maps(seen: nn.Module, output: Tensor) -> Tensor:
        return matrix(seen, output)[:, 0].unflatten(1, (4, 4))

    attention = (Attention("seen", maps, matrix=matrix),)
    return Net(Colours(layout).eval(), taps, attention=attention)


def explained(
    name: str, net: Net, images: Tensor, classes: Tensor | None = None, **params: object
) -> Explanation:
    """Return class 0 of the first image, class 1 of the second, explained."""
    wanted = torch.tensor([[0], [1]]) if classes is None else classes
    return explain_with(name, Subject(net), images, wanted, params)


@pytest.fixture
def explain() -> Callable[..., Explanation]:
    return explained


@pytest.fixture
def maps_of() -> Callable[..., Tensor]:
    """Return a call as ``explained``, giving the first map of each image, never blank."""

    def call(*arguments: object, **params: object) -> Tensor:
        found = explained(*arguments, **params).checked()  # type: ignore[arg-type]
        return torch.from_numpy(found.maps[:, 0])

    return call


@pytest.fixture
def build() -> Callable[..., Net]:
    return colour_net


@pytest.fixture
def net() -> Net:
    return colour_net()


@pytest.fixture
def images() -> Tensor:
    """Return two images ``[2, 3, 16, 16]``, each with a red and a darker green patch."""
    images = torch.zeros(2, 3, SIZE, SIZE)
    images[:, 0, *RED] = 1.0
    images[:, 1, *GREEN] = 0.5
    return images


@pytest.fixture
def random_net() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, head = nn.Conv2d(3, 6, 3, stride=4), nn.Linear(6 * 4 * 4, 3)
        first.bias.data += 0.5  # mostly positive maps and gradients: an untrained network's
        head.weight.data += 0.02  # may all be negative, and its map blank
        module = nn.Sequential(first, nn.ReLU(inplace=True), nn.Flatten(), head)
    return Net(module.eval(), {"cam": Tap("0")})
