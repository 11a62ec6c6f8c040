"""The driver's side of the search, without Ray: which trials run, and what is kept of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdray.errors import RunError
from kdray.run.search import ArmSearch, _Board, _filled
from kdray.run.study import Study
from kdray.run.training import Assignment
from kdray.spec.experiment import Augment, Model, Search, Train
from kdray.spec.space import Space
from kdray.store import Store


def arm(trials: int = 2) -> ArmSearch:
    search = Search(trials=trials, scheduler="asha", reduction_factor=2)
    spaces = {"alpha": Space(min=0.1, max=0.9)}
    trial = Assignment(
        path="steps/search/arm",
        key="k",
        label="arm",
        step="search/arm",
        dataset="steps/prepare/data",
        role="student",
        model=Model.model_validate({"id": "tiny", "model": "cnn5"}),
        train=Train(epochs=2),
        augment=Augment(),
        select="macro_f1",
        seed=0,
        method=("kd", {"T": 4.0}),
        view_seed=0,
        num_views=None,
        teachers=(),
        lineage={},
    )
    study = Study("k", spaces, {"alpha": 0.5}, search, "macro_f1")
    return ArmSearch("steps/search/arm", "k", "arm", "search/arm", trials, study, trial)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def board(store: Store, of: ArmSearch | None = None) -> _Board:
    return _Board([of or arm()], store, lambda event: None)


def tell(made: _Board, name: str, *scores: float) -> None:
    assert made.next(name) is not None
    for epoch, score in enumerate(scores, 1):
        assert not made.result(name, {"epoch": epoch, "score": score})
    made.done(name, "complete")


def test_a_search_ends_with_its_best_trial_and_leaves_nothing_behind(store: Store) -> None:
    made = board(store)
    assert made.restore() == 2
    tell(made, "a", 0.5, 0.7)
    store.write("work/k-1-0000/state.pt", b"of a trial before an interruption")
    tell(made, "b", 0.6, 0.8)
    made.close()
    assert store.finished("steps/search/arm")["best"]["number"] == 1
    assert store.list("work") == []


def test_a_finished_trial_is_not_run_again(store: Store) -> None:
    first = board(store)
    first.restore()
    tell(first, "a", 0.5, 0.7)
    again = board(store)
    assert again.restore() == 1
    tell(again, "b", 0.6, 0.6)
    assert store.finished("steps/search/arm")["best"]["score"] == 0.7


def test_a_search_whose_trials_all_failed_says_why_and_can_be_run_again(store: Store) -> None:
    made = board(store)
    made.restore()
    for name in ("a", "b"):
        made.next(name)
        made.done(name, "failed", "TypeError: no such thing")
    with pytest.raises(RunError, match=r"every trial.*TypeError: no such thing. Mend it"):
        made.close()
    assert board(store).restore() == 2


def test_a_search_that_is_cut_short_keeps_its_finished_trials(store: Store) -> None:
    made = board(store)
    made.restore()
    tell(made, "a", 0.5, 0.7)
    with pytest.raises(RunError, match="cut short"):
        made.close()
    assert board(store).restore() == 1


def test_checkpoints_of_a_trial_are_found_by_its_settings_too() -> None:
    of = arm()

    def key(params: dict[str, Any]) -> str:
        return _filled(of, 1, params).key

    assert key({"alpha": 0.5}) == key({"alpha": 0.5})
    assert key({"alpha": 0.5}) != key({"alpha": 0.4})
    assert key({"alpha": 0.5}).split("-")[0] == "k"
