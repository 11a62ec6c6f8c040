from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kdray.data import Dataset, _prepare, prepare
from kdray.errors import DataError
from kdray.spec.experiment import Data


@pytest.fixture
def folder(tmp_path: Path, settings: Callable[..., Data], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a prepared data set in many small record batches."""
    monkeypatch.setattr(_prepare, "_BATCH_BYTES", 7 * 16 * 16 * 2)
    source = {"name": "phantom", "params": {"num_images": 48, "size": 16}}
    (tmp_path / "set").mkdir()
    prepare(settings(source, image_size=16), tmp_path / "set")
    return tmp_path / "set"


def test_images_are_gathered_over_record_batches_in_the_order_asked_for(folder: Path) -> None:
    dataset = Dataset.open(folder)
    whole = dataset.images(range(48))
    order = np.random.default_rng(0).permutation(48)
    np.testing.assert_array_equal(dataset.images(order), whole[order])
    masks, all_masks = dataset.masks(order), dataset.masks(range(48))
    assert masks is not None
    assert all_masks is not None
    np.testing.assert_array_equal(masks, all_masks[order])


def test_gathered_images_may_be_written_to(folder: Path) -> None:
    images = Dataset.open(folder).images([3, 3])
    images[0] = 0
    assert images[1].any()


def test_no_images_are_an_empty_array(folder: Path) -> None:
    assert Dataset.open(folder).images([]).shape == (0, 16, 16, 1)


@pytest.mark.parametrize("place", [-1, 48])
def test_an_index_outside_is_an_error(folder: Path, place: int) -> None:
    with pytest.raises(IndexError, match="48 images"):
        Dataset.open(folder).images([place])


def test_the_splits_part_the_images(folder: Path) -> None:
    dataset = Dataset.open(folder)
    places = np.concatenate([dataset.split(name) for name in dataset.splits])
    assert sorted(places.tolist()) == list(range(len(dataset)))


def test_an_unknown_split_names_those_there_are(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no such split\. It has: train, val, test"):
        Dataset.open(folder).split("shifted")


def test_the_info_is_what_the_file_says(folder: Path) -> None:
    facts = json.loads((folder / "dataset.json").read_text())
    info = Dataset.open(folder).info
    assert (list(info.classes), info.hash, info.counts) == (
        facts["classes"],
        facts["hash"],
        facts["counts"],
    )


def test_another_folder_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no prepared data set"):
        Dataset.open(tmp_path)


def test_a_data_set_of_another_format_is_refused(folder: Path) -> None:
    facts = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**facts, "format": 99}))
    with pytest.raises(DataError, match="is of format 99"):
        Dataset.open(folder)
