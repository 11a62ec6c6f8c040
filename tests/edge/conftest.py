"""Packages with the files of serving, of small networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kdray.export import write_serving
from kdray.models import build_model
from kdray.registry.package import write_package

CLASSES = ("cat", "dog", "owl")
SIDE = 32


def write(folder: Path, name: str, params: dict[str, Any], channels: int, side: int) -> Path:
    net = build_model(
        name, params, channels=channels, classes=len(CLASSES), image_size=side, seed=3
    )
    info = SimpleNamespace(
        classes=CLASSES,
        image_size=side,
        channels=channels,
        mean=(0.4, 0.5, 0.6)[:channels],
        std=(0.2, 0.3, 0.25)[:channels],
    )
    model = {"name": name, "params": params}
    write_package(folder, net, model=model, id=name, role="student", info=info, lineage={})
    images = pixels(6, side, channels)
    problem = write_serving(folder, train=images, validation=images, labels=np.arange(6) % 3)
    assert not problem
    return folder


def pixels(count: int, side: int, channels: int = 3) -> np.ndarray:
    """Return smooth images, uint8 ``[count, side, side, channels]``."""
    rough = torch.rand(count, channels, 5, 5, generator=torch.Generator().manual_seed(1))
    smooth = nn.functional.interpolate(rough, (side, side), mode="bicubic").clip(0, 1)
    return (255 * smooth).permute(0, 2, 3, 1).round().byte().numpy()


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a call that gives the package of a model, with the files of serving."""
    made: dict[str, Path] = {}

    def call(name: str, channels: int = 3, side: int = SIDE, **params: Any) -> Path:
        key = json.dumps([name, channels, side, params])
        if key not in made:
            folder = tmp_path_factory.mktemp("package")
            made[key] = write(folder, name, params, channels, side)
        return made[key]

    return call


@pytest.fixture
def photos() -> np.ndarray:
    """Return three smooth images, uint8 ``[3, 32, 32, 3]``."""
    return pixels(3, SIDE)
