"""A small net and its batches, for the tests of the training loop."""

from __future__ import annotations

from torch import nn

from kdray.data import Dataset, Views
from kdray.learn import Batches, World
from kdray.net import Net, Tap
from kdray.spec.experiment import Augment


def small_net(classes: int = 3, *, norm: bool = True) -> Net:
    """Return a net of one convolution, with or without batch norm."""
    layers = [nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6) if norm else nn.Identity()]
    module = nn.Sequential(
        *layers, nn.ReLU(), nn.AdaptiveAvgPool2d((3, 1)), nn.Flatten(), nn.Linear(18, classes)
    )
    return Net(module, {"cam": Tap("2")})


def make_batches(dataset: Dataset, world: World | None = None, batch_size: int = 16) -> Batches:
    """Return the batches of a data set with the default views."""
    info = dataset.info
    views = Views(Augment(hflip=False, rotate=5), 0, info.mean, info.std)
    return Batches(dataset, views, batch_size, 0, world or World())
