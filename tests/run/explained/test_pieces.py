from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdray.run.explained.comparing import Pair, compare
from kdray.run.explained.images import drawn
from kdray.run.explained.intervals import means, measured
from kdray.run.explained.scoring import ANSWERS, MAPS, reduced
from kdray.store import Store
from tests.run.explained.conftest import Explained

NAN = math.nan


def test_an_image_counts_by_the_mean_of_its_runs() -> None:
    found = measured([[0.0, 1.0, NAN], [1.0, NAN, NAN]], 0.95)
    assert found is not None
    assert found["mean"] == pytest.approx(0.75)  # (0 + 1) / 2 and 1
    assert found["n"] == 2
    assert found["seeds"]["mean"] == pytest.approx(0.75)  # 0.5 and 1
    assert found["seeds"]["n"] == 2


def test_a_score_that_no_image_has_is_none() -> None:
    assert measured([[NAN, NAN]], 0.95) is None


def test_means_of_nothing_are_not_defined() -> None:
    assert np.isnan(means(np.array([[NAN], [NAN]]), axis=0)).all()


def test_maps_are_kept_as_means_of_areas_and_blank_ones_stay_blank() -> None:
    maps = np.zeros((1, 2, 112, 112), np.float32)
    maps[0, 0, :2, :2] = 1.0
    maps[0, 1] = NAN
    small = reduced(maps)
    assert small.shape == (1, 2, 56, 56)
    assert small[0, 0, 0, 0] == 1.0
    assert small[0, 0].sum() == 1.0
    assert np.isnan(small[0, 1]).all()


def test_fewer_images_are_the_first_of_more_and_come_evenly(explained: Explained) -> None:
    from kdray.data import Dataset

    dataset = Dataset.open(explained.store.fetch(explained.plan().prepare.path))
    few, more = drawn(dataset, 4), drawn(dataset, 8)
    assert few.tolist() == more[:4].tolist()
    assert sorted(dataset.labels[few].tolist()) == [0, 1, 2, 3]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A storage with the scored maps of a teacher and of two runs of a student."""
    store = Store(str(tmp_path))
    random = np.random.default_rng(0)
    teacher = random.random((4, 2, 16, 16)).astype(np.float16)
    answers = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    _scored(store, "teacher", {"0": teacher, ANSWERS: answers})
    _scored(store, "same", {"0": teacher, ANSWERS: answers})
    _scored(store, "inverse", {"0": 1 - teacher, ANSWERS: answers[::-1]})
    return store


def _scored(store: Store, name: str, arrays: dict[str, Any]) -> None:
    with store.publish(name, {"classes": ["a", "b"]}) as folder:
        np.savez(folder / MAPS, **arrays)


def _compared(store: Store, *runs: str) -> dict[str, Any]:
    [row] = compare(Pair(store.uri, "s", "t", "teacher", runs, ("gradcam", "rollout"), 0.95))
    return row


def test_a_student_whose_maps_are_the_teachers_agrees_wholly(store: Store) -> None:
    row = _compared(store, "same")
    for scores in (row["all"], *row["classes"].values()):
        assert scores["pearson"]["mean"] == pytest.approx(1, abs=1e-4)
        assert scores["ssim"]["mean"] == pytest.approx(1, abs=1e-4)
        assert scores["chance_pearson"]["mean"] < 0.3
    assert row["answers"]["top1_agreement"]["mean"] == 1


def test_agreement_is_the_mean_of_the_runs_with_their_spread(store: Store) -> None:
    row = _compared(store, "same", "inverse")
    assert row["runs"] == 2
    assert row["all"]["pearson"]["mean"] == pytest.approx(0, abs=1e-3)
    assert row["all"]["pearson"]["seeds"]["std"] == pytest.approx(2**0.5, abs=1e-3)
    assert row["classes"]["a"]["pearson"]["n"] == 4
    assert row["answers"]["top1_agreement"]["mean"] == 0.5
