"""A small network, as kdray's scores and as other libraries' metrics see it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

CLASSES = 3


class Small(nn.Module):
    """Images 0..255 ``[B, 3, H, W]`` to logits of which none is near a half everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images / 255).relu()
        return 8 * self.head(maps.mean(dim=(2, 3)))


class Given:
    """What torch-cam calls an extractor, giving maps that are already there."""

    def __init__(self, model: nn.Module, maps: Tensor) -> None:
        self.model = model
        self.maps = maps

    def __call__(self, *_: Any, **__: Any) -> list[Tensor]:
        return [self.maps]

    def fuse_cams(self, maps: list[Tensor]) -> Tensor:
        return maps[0]

    def _hooks_off(self) -> Any:
        return nullcontext()


@pytest.fixture
def small() -> Small:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        return Small().eval()


@pytest.fixture
def given() -> type[Given]:
    return Given


@pytest.fixture
def probabilities(small: Small) -> Callable[[np.ndarray], np.ndarray]:
    """Return the small network as scores take it; ``batches`` lists the sizes it was asked for."""

    def call(images: np.ndarray) -> np.ndarray:
        call.batches.append(len(images))  # type: ignore[attr-defined]
        with torch.no_grad():
            return small(as_tensor(images)).softmax(dim=1).numpy()

    call.batches = []  # type: ignore[attr-defined]
    return call


def as_tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).movedim(3, 1).float()


@pytest.fixture
def tensor() -> Callable[[np.ndarray], Tensor]:
    return as_tensor


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (4, 16, 12, 3), dtype=np.uint8)


@pytest.fixture
def maps() -> np.ndarray:
    """Return maps whose values times 255 are whole, many of them equal."""
    return (np.random.default_rng(4).integers(0, 6, (4, 16, 12)) / 5).astype(np.float32)


@pytest.fixture
def targets() -> np.ndarray:
    return np.array([0, 1, 2, 0])
