from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdray.errors import JobError
from kdray.run.warm import earlier_records, warm_start_hash
from kdray.spec import Experiment
from kdray.spec.space import Space
from kdray.store import Store
from tests.run.searches import arm

SPACES = {"alpha": Space(min=0.2, max=0.8)}


def trial(number: int, state: str = "complete", **params: float) -> dict[str, Any]:
    score = None if state == "failed" else 0.5
    return {"number": number, "params": params, "values": [0.5], "score": score, "state": state}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a storage with an earlier search of one arm."""
    trials = [
        trial(0, alpha=0.3),
        trial(1, alpha=0.9),
        trial(2, "pruned", alpha=0.4),
        trial(3, "failed", alpha=0.5),
        trial(4, alpha=0.5, T=3.0),
    ]
    one = {"student": "small", "teacher": "big", "method": "kd", "select": "macro_f1"}
    other = {**one, "teacher": "bigger"}
    store = Store(str(tmp_path / "runs"))
    found = {"searches": [{**one, "trials": trials}, {**other, "trials": trials}]}
    store.write_json("jobs/before/results.json", found)
    return store


def job(store: Store, warm_start: str | None, **train: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "apiVersion": "kdray/v1",
            "kind": "Experiment",
            "name": "after",
            "data": {"source": "phantom", "image_size": 32, "channels": 1},
            "teachers": [{"id": "big", "model": "cnn5"}],
            "students": [{"id": "small", "model": "cnn5"}],
            "train": train,
            "search": {"warm_start": warm_start},
            "storage": {"uri": store.uri},
        }
    )


def test_finished_trials_of_the_same_arm_within_its_spaces_are_taken(store: Store) -> None:
    found = earlier_records(job(store, "before"), [arm("small", spaces=SPACES)])
    assert [(one.params, one.state, one.arm) for one in found] == [
        ({"alpha": 0.3}, "complete", "small"),
        ({"alpha": 0.4}, "pruned", "small"),
    ]


def test_the_folder_of_a_job_elsewhere_is_found_by_its_path(store: Store) -> None:
    path = store.path("jobs/before")
    elsewhere = Store(store.path("elsewhere"))
    found = earlier_records(job(elsewhere, path), [arm("small", spaces=SPACES)])
    assert len(found) == 2
    assert warm_start_hash(job(elsewhere, path)) == warm_start_hash(job(store, "before"))


def test_other_trials_of_the_earlier_search_change_its_hash(store: Store) -> None:
    before = warm_start_hash(job(store, "before"))
    content = store.read_json("jobs/before/results.json")
    assert content is not None
    content["searches"][0]["trials"].pop()
    store.write_json("jobs/before/results.json", content)
    assert warm_start_hash(job(store, "before")) != before
    assert warm_start_hash(job(store, None)) is None


def test_a_missing_search_is_one_clear_error(store: Store) -> None:
    with pytest.raises(JobError, match=r"search\.warm_start: there is no finished job 'bfore'"):
        warm_start_hash(job(store, "bfore"))
    store.write_json("jobs/empty/results.json", {"searches": []})
    with pytest.raises(JobError, match="no search of 'empty' is finished"):
        warm_start_hash(job(store, "empty"))


def test_scores_that_cannot_be_compared_are_refused(store: Store) -> None:
    with pytest.raises(JobError, match="chose by macro_f1, this job by loss"):
        warm_start_hash(job(store, "before", select="loss"))


def test_a_search_does_not_start_from_the_results_that_it_replaces(store: Store) -> None:
    with pytest.raises(ValueError, match="names this job itself"):
        job(store, "after")
