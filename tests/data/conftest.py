"""Tiny image folders, and data settings for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kdray.data import Dataset, prepare
from kdray.spec.experiment import Data

Draw = Callable[..., Path]
Prepare = Callable[..., Dataset]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Return a function that draws a noise image under ``raw``: (name, seed) -> its path."""

    def make(name: str, seed: int, *, side: int = 24, mode: str = "RGB") -> Path:
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).convert(mode).save(path)
        return path

    return make


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Data]:
    """Return a function that makes the data section of a job, of the folder ``raw``."""

    def make(source: dict[str, Any] | None = None, **fields: Any) -> Data:
        folder = {"name": "folder", "params": {"path": str(tmp_path / "raw")}}
        tree = {"source": source or folder, "image_size": 8, "channels": 1, **fields}
        return Data.model_validate(tree)

    return make


@pytest.fixture
def prepared(tmp_path: Path, settings: Callable[..., Data]) -> Prepare:
    """Return a function that prepares a data set and opens it."""

    def make(source: dict[str, Any] | None = None, **fields: Any) -> Dataset:
        folder = tmp_path / f"prepared-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        prepare(settings(source, **fields), folder)
        return Dataset.open(folder)

    return make
