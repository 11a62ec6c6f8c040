from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdray.data import Dataset, Pool, Views, prepare, training_pool
from kdray.spec.experiment import Augment, Data
from kdray.store import Store

SIZES = (14, 12, 11, 11)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Prepare 4 classes of 11 to 14 grey images of noise, 16 px."""
    root: Path = tmp_path_factory.mktemp("noise")
    noise = np.random.default_rng(0)
    for label, size in enumerate(SIZES):
        (root / f"class{label}").mkdir()
        for index in range(size):
            image = noise.integers(0, 200, (16, 16), dtype=np.uint8)
            image[label * 4 : label * 4 + 4] += 50
            Image.fromarray(image).save(root / f"class{label}" / f"{index}.png")
    data = Data.model_validate(
        {
            "source": {"name": "folder", "params": {"path": str(root)}},
            "image_size": 16,
            "channels": 1,
            "duplicates": {"check": "none"},
        }
    )
    folder = tmp_path_factory.mktemp("prepared")
    prepare(data, folder)
    return Dataset.open(folder)


@pytest.fixture
def views(dataset: Dataset) -> Views:
    """Return two views of each image."""
    return Views(Augment(rotate=20), 3, dataset.info.mean, dataset.info.std, number=2)


@pytest.fixture
def pool(dataset: Dataset) -> Pool:
    """Return the train split."""
    return training_pool(dataset)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty storage."""
    return Store(str(tmp_path / "runs"))
