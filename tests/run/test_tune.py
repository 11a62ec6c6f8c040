"""The search on the suite's real Ray: small, with actors that are reused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdray.data import prepare
from kdray.run.board import Board, Searching
from kdray.run.relay import relay
from kdray.run.search import run_search
from kdray.run.shares import Share
from kdray.run.trials import SearchArm
from kdray.spec.experiment import Data, Method, Model, Train
from kdray.spec.space import Space
from kdray.store import Store
from tests.run.test_search import journal, searching, trial_of

pytestmark = pytest.mark.ray

RATES = {"learning_rate": Space(min=1e-4, max=1e-2, log=True)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a storage with a prepared data set of a few drawn images."""
    store = Store(str(tmp_path))
    source = {"name": "phantom", "params": {"num_images": 60, "size": 32}}
    data = Data.model_validate({"source": source, "image_size": 32, "channels": 1})
    result: dict[str, Any] = {}
    with store.publish("steps/prepare/data", result) as folder:
        result.update(prepare(data, folder))
    return store


def arms(trials: int) -> list[SearchArm]:
    return [
        SearchArm(name, name, name, None, Method(name="none"), RATES, {}, trials)
        for name in ("narrow", "wide")
    ]


def job(trials: int = 2, **fields: Any) -> Searching:
    of = searching(*arms(trials), trials=trials, **fields)
    widths = {"narrow": 2, "wide": 4}
    runs = {}
    for slug, width in widths.items():
        part = {"name": "cnn5", "params": {"widths": [width] * 5}}
        model = Model.model_validate({"id": slug, "model": part})
        train = Train(epochs=2, batch_size=16)
        runs[slug] = replace(trial_of(slug), model=model, train=train, method=("none", {}))
    return replace(of, runs=runs)


def run(of: Searching, store: Store, concurrent: int = 2) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    with relay(events.append) as post:
        board = Board(of, store, events.append)
        run_search(board, store, post, Share(2 / concurrent, 0), concurrent)
    return events


def test_tune_runs_the_trials_of_all_arms_and_keeps_what_they_found(
    cluster: str, store: Store
) -> None:
    run(job(scheduler="none", concurrent=2), store)
    found = store.finished("steps/search/search")["arms"]
    assert {slug: len(arm["trials"]) for slug, arm in found.items()} == {"narrow": 2, "wide": 2}
    assert all(len(trial["values"]) == 2 for arm in found.values() for trial in arm["trials"])
    assert [trial.state.name for trial in journal(store).trials] == ["COMPLETE"] * 4
    assert store.list("work") == []


def test_a_search_that_was_interrupted_ends_as_an_undisturbed_one(
    cluster: str, store: Store
) -> None:
    of = job(concurrent=1)
    run(of, store, 1)
    whole = store.finished("steps/search/search")["arms"]
    store.delete("steps/search/search")
    board = Board(of, store, lambda event: None)
    board.restore()
    assert board.next("of a driver that dies") is not None
    run(of, store, 1)
    again = store.finished("steps/search/search")["arms"]
    told = ("number", "params", "values", "state")
    for slug in whole:
        first, second = (
            [{k: t[k] for k in told} for t in x[slug]["trials"]] for x in (whole, again)
        )
        assert first == second


def test_a_trial_that_fails_is_kept_and_the_others_go_on(cluster: str, store: Store) -> None:
    of = job(scheduler="none", concurrent=1, trials=2)
    spaces = {"learning_rate": Space(choices=(1e-3, 1e30))}
    odd = [replace(arm, spaces=spaces) for arm in of.arms]
    run(replace(of, arms=odd, search=of.search.model_copy(update={"sampler": "grid"})), store, 1)
    found = store.finished("steps/search/search")["arms"]
    for arm in found.values():
        assert {t["params"]["learning_rate"]: t["state"] for t in arm["trials"]}[
            1e-3
        ] == "complete"
