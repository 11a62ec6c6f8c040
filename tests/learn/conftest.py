from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdray.data import Dataset, prepare
from kdray.spec.experiment import Data


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare 3 classes of 20 grey images, 12 px: a bright band, higher for each class."""
    root: Path = tmp_path_factory.mktemp("bands")
    noise = np.random.default_rng(0)
    for label in range(3):
        (root / f"class{label}").mkdir()
        for index in range(20):
            image = noise.integers(0, 90, (12, 12), dtype=np.uint8)
            image[label * 4 : label * 4 + 4] += 120
            Image.fromarray(image).save(root / f"class{label}" / f"{index}.png")
    data = Data.model_validate(
        {
            "source": {"name": "folder", "params": {"path": str(root)}},
            "image_size": 12,
            "channels": 1,
            "duplicates": {"check": "none"},
        }
    )
    folder = tmp_path_factory.mktemp("prepared")
    prepare(data, folder)
    return folder


@pytest.fixture(scope="session")
def dataset(dataset_folder: Path) -> Dataset:
    """Return the prepared data set."""
    return Dataset.open(dataset_folder)
