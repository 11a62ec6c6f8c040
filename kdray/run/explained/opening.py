"""A trained model as what explanations look into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdray.data import Views
from kdray.explain import Subject
from kdray.models import lay_out
from kdray.registry.package import read_package
from kdray.spec.data import Augment


@dataclass(frozen=True)
class Opened:
    """A subject, and what makes its input of images."""

    subject: Subject
    views: Views
    device: str

    def standard(self, images: NDArray[np.uint8]) -> Tensor:
        """Return images ``[B, H, W, c]`` as the network takes them, ``[B, c, H, W]``."""
        return self.views.plain(images)

    def classes(self, labels: NDArray[np.int64]) -> Tensor:
        """Return labels ``[B]`` as the classes to explain, ``[B, 1]``."""
        return torch.as_tensor(labels[:, None], device=self.device)


def opened(folder: Path, device: str) -> Opened:
    """Return the model of a package, laid out for the device."""
    package = read_package(folder)
    net = package.build()
    lay_out(net.module.to(device), device)
    views = Views(Augment(), 0, package.mean, package.std, torch.device(device))
    return Opened(Subject(net), views, device)
