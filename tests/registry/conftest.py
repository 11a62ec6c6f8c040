"""Small packages with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kdray.models import build_model
from kdray.registry import write_package

WIDTHS = {"widths": [4, 8, 8, 12, 16]}


@dataclass(frozen=True)
class Info:
    classes: tuple[str, ...] = ("glioma", "no tumor", "pituitary")
    image_size: int = 32
    channels: int = 1
    mean: tuple[float, ...] = (0.4,)
    std: tuple[float, ...] = (0.2,)


@pytest.fixture
def info() -> Info:
    return Info()


@pytest.fixture
def make_package(tmp_path: Path, info: Info) -> Callable[[int], Path]:
    """Return a function that writes a package of the given weight seed."""

    def make(seed: int = 0) -> Path:
        folder = tmp_path / f"package-{seed}"
        folder.mkdir()
        net = build_model("cnn5", WIDTHS, channels=1, classes=3, image_size=32, seed=seed)
        write_package(
            folder,
            net,
            model={"name": "cnn5", "params": WIDTHS},
            id="cnn5",
            role="student",
            info=info,
            lineage={"job": "quickstart", "data": "abc", "teacher": {"id": "resnet18"}},
        )
        return folder

    return make
