"""The driver's side of the search, without Ray: which trials run, and what is kept of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from kdray.errors import RunError
from kdray.run.board import Board, Searching
from kdray.run.training import Assignment
from kdray.run.trials import Record, SearchArm
from kdray.spec.experiment import Augment, Model, Train
from kdray.spec.space import Space
from kdray.store import Store
from tests.run.searches import arm, search

SPACES = {"alpha": Space(min=0.1, max=0.9)}


class Clock:
    """Time as a test says it."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def trial_of(slug: str) -> Assignment:
    return Assignment(
        path="steps/search/search",
        key="k",
        label=slug,
        step="search/search",
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


def searching(*arms: SearchArm, gpus: float = 0.0, **fields: Any) -> Searching:
    given = arms or (arm("small-kd", spaces=SPACES, trials=2),)
    settings = search(**{"trials": 2, "scheduler": "asha", "reduction_factor": 2, **fields})
    runs = {one.slug: trial_of(one.slug) for one in given}
    where = ("steps/search/search", "k", "search/search", "job")
    return Searching(*where, given, runs, settings, "macro_f1", 2, gpus)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def board(store: Store, of: Searching | None = None, **given: Any) -> Board:
    return Board(of or searching(), store, given.pop("tell", lambda event: None), **given)


def play(made: Board, name: str, *scores: float) -> None:
    assert made.next(name) is not None
    for epoch, score in enumerate(scores, 1):
        assert not made.report(name, epoch, score)
    made.done(name, "complete")


def journal(store: Store) -> optuna.Study:
    """Open the journal as any user of Optuna would."""
    file = Path(store.path("jobs/job/study.journal"))
    return optuna.load_study(
        study_name=None, storage=JournalStorage(JournalFileBackend(str(file)))
    )


def test_a_search_ends_with_its_best_trial_and_leaves_nothing_behind(store: Store) -> None:
    made = board(store)
    assert made.restore() == 2
    play(made, "a", 0.5, 0.7)
    store.write("work/k-1-0000/state.pt", b"of a trial before an interruption")
    play(made, "b", 0.6, 0.8)
    made.close()
    found = store.finished("steps/search/search")["arms"]["small-kd"]
    assert found["best"]["number"] == 1
    assert found["label"] == "small-kd by name"
    assert [trial["score"] for trial in found["trials"]] == [0.7, 0.8]
    assert store.list("work") == []


def test_a_finished_trial_is_not_run_again(store: Store) -> None:
    first = board(store)
    first.restore()
    play(first, "a", 0.5, 0.7)
    again = board(store)
    assert again.restore() == 1
    play(again, "b", 0.6, 0.6)
    found = store.finished("steps/search/search")["arms"]["small-kd"]
    assert found["best"]["score"] == 0.7


def test_after_the_driver_dies_what_ran_goes_on_from_its_checkpoints(store: Store) -> None:
    of = searching(arm("small-kd", spaces=SPACES, trials=4), concurrent=3, trials=4)
    first = board(store, of)
    first.restore()
    ran = [first.next(name) for name in "abc"]
    first.report("b", 1, 0.9)
    first.done("b", "complete")
    again = board(store, of)
    assert again.restore() == 3
    given = [again.next(name) for name in "abc"]
    assert ran[0] is not None
    assert ran[2] is not None
    assert given[:2] == [ran[0], ran[2]]  # the same settings under the same key
    assert given[2] is not None
    assert given[2].key.startswith("k-3-")


def test_a_search_whose_trials_all_failed_says_why_and_can_be_run_again(store: Store) -> None:
    made = board(store)
    made.restore()
    for name in ("a", "b"):
        made.next(name)
        made.done(name, "failed", "TypeError: no such thing")
    with pytest.raises(RunError, match=r"every trial.*TypeError: no such thing. Mend it"):
        made.close()
    assert board(store).restore() == 2


def test_an_arm_that_failed_is_searched_again_and_others_are_kept(store: Store) -> None:
    arms = [arm(name, spaces=SPACES, trials=1) for name in ("good", "bad")]
    made = board(store, searching(*arms))
    made.restore()
    play(made, "a", 0.5)
    made.next("b")
    made.done("b", "failed", "ValueError: odd")
    with pytest.raises(RunError, match=r"bad by name: every trial.*ValueError: odd"):
        made.close()
    again = board(store, searching(*arms))
    assert again.restore() == 1
    play(again, "b", 0.4)
    assert set(store.finished("steps/search/search")["arms"]) == {"good", "bad"}


def test_a_search_that_is_cut_short_keeps_its_finished_trials(store: Store) -> None:
    made = board(store)
    made.restore()
    play(made, "a", 0.5, 0.7)
    with pytest.raises(RunError, match="cut short"):
        made.close()
    assert board(store).restore() == 1


def test_checkpoints_of_a_trial_are_found_by_its_settings_too(store: Store) -> None:
    made = [board(Store(store.path(name)), searching(seed=seed)) for name, seed in _STORES]
    keys = []
    for one in made:
        one.restore()
        one.next("first, with the defaults")
        work = one.next("second")
        assert work is not None
        keys.append(work.key)
    assert keys[0] == keys[1] != keys[2]
    assert keys[0].split("-")[:2] == ["k", "1"]


_STORES = [("a", 0), ("b", 0), ("c", 1)]


def test_a_trial_gets_its_settings_and_its_learning_rate(store: Store) -> None:
    spaces = {"alpha": Space(choices=(0.25,)), "learning_rate": Space(choices=(0.02,))}
    made = board(store, searching(arm(spaces=spaces, trials=2)))
    made.restore()
    work = made.next("a")
    assert work is not None
    assert work.method == ("kd", {"T": 4.0, "alpha": 0.25})
    assert work.train.learning_rate == 0.02
    assert work.label == "small-kd by name trial 1/2"


def test_an_epoch_that_is_told_again_after_a_restart_counts_once(store: Store) -> None:
    made = board(store)
    made.restore()
    made.next("a")
    for epoch, score in ((1, 0.5), (1, 0.5), (2, 0.6)):
        made.report("a", epoch, score)
    made.done("a", "complete")
    assert journal(store).trials[0].intermediate_values == {1: 0.5, 2: 0.6}


def test_hours_end_a_search_once_each_arm_has_its_least_number(store: Store) -> None:
    arms = [arm(name, spaces=SPACES, trials=5) for name in ("a", "b")]
    clock = Clock()
    of = searching(*arms, trials=5, min_trials=1, hours=1.0, scheduler="none")
    made = board(store, of, clock=clock)
    made.restore()
    for name in ("1", "2", "3"):
        assert made.next(name) is not None
        clock.seconds += 1500
        made.report(name, 1, 0.5)
        made.done(name, "complete")
    assert made.next("4") is None
    made.close()
    assert store.finished("steps/search/search")["budget"]["spent"] == {
        "trials": 3,
        "hours": 1.25,
        "gpu_hours": 0.0,
    }


def test_gpu_hours_are_counted_over_trials_at_once_and_over_interruptions(store: Store) -> None:
    of = searching(
        arm(spaces=SPACES, trials=9), gpus=0.5, trials=9, min_trials=1, gpu_hours=2.0, concurrent=2
    )
    clock = Clock()
    first = board(store, of, clock=clock)
    first.restore()
    first.next("a")
    first.next("b")
    clock.seconds += 3600  # two halves of a GPU for an hour
    first.report("a", 1, 0.5)
    first.done("a", "complete")
    later = Clock()
    later.seconds = 50.0  # another process, another clock
    again = board(store, of, clock=later)
    again.restore()
    again.next("b")
    later.seconds += 7200
    again.report("b", 1, 0.5)
    again.done("b", "complete")
    assert again.is_over
    assert store.finished("steps/search/search")["budget"]["spent"]["gpu_hours"] == 2.0


def test_any_optuna_opens_the_journal_of_a_running_search(store: Store) -> None:
    arms = [arm(name, spaces=SPACES, trials=2) for name in ("a", "b")]
    made = board(store, searching(*arms))
    made.restore()
    play(made, "1", 0.5, 0.7)
    made.next("2")
    made.report("2", 1, 0.4)
    done, running = journal(store).trials
    assert (done.state, running.state) == (TrialState.COMPLETE, TrialState.RUNNING)
    assert done.value == 0.7
    assert done.params == {"arm": "a by name", "kd/alpha": 0.5}
    assert running.params["arm"] == "b by name"
    assert running.intermediate_values == {1: 0.4}


def test_the_journal_of_a_search_that_goes_on_holds_no_trial_of_the_dead(store: Store) -> None:
    first = board(store, searching(concurrent=2))
    first.restore()
    first.next("a")
    first.report("a", 1, 0.1)
    again = board(store, searching(concurrent=2))
    again.restore()
    play(again, "a", 0.5, 0.6)
    play(again, "b", 0.6, 0.7)
    assert [trial.state for trial in journal(store).trials] == [TrialState.COMPLETE] * 2
    assert journal(store).trials[0].intermediate_values == {1: 0.5, 2: 0.6}


def test_the_journal_and_the_result_hold_several_objectives(store: Store) -> None:
    arms = [
        arm(name, spaces=SPACES, trials=1, macs=cost) for name, cost in (("a", 9.0), ("b", 1.0))
    ]
    made = board(store, searching(*arms, against=["macs"], sampler="nsga2"))
    made.restore()
    play(made, "1", 0.9)
    play(made, "2", 0.5)
    study = journal(store)
    assert study.metric_names == ["macro_f1", "macs"]
    assert [trial.values for trial in study.trials] == [[0.9, 9.0], [0.5, 1.0]]
    found = store.finished("steps/search/search")
    assert found["objectives"] == ["macro_f1", "macs"]
    assert [(one["label"], one["score"]) for one in found["pareto"]] == [
        ("a by name", 0.9),
        ("b by name", 0.5),
    ]


def test_events_tell_of_the_trial_its_arm_and_the_best_so_far(store: Store) -> None:
    events: list[dict[str, Any]] = []
    made = board(store, tell=events.append)
    made.restore()
    play(made, "a", 0.5, 0.7)
    play(made, "b", 0.6, 0.65)
    trials = [event for event in events if event["kind"] == "trial"]
    assert [(event["number"], event["state"], event["best"]) for event in trials] == [
        (0, "running", None),
        (0, "complete", 0.7),
        (1, "running", 0.7),
        (1, "complete", 0.7),
    ]
    assert {(event["run"], event["trials"]) for event in trials} == {("small-kd by name", 2)}
    assert events[-1] == {"kind": "search_finished", "step": "search/search"}


def test_on_remote_storage_the_journal_is_uploaded_after_each_trial(
    s3: str, tmp_path: Path
) -> None:
    remote = Store(s3, cache=str(tmp_path / "cache"))
    made = board(remote)
    made.restore()
    play(made, "1", 0.5, 0.7)
    copy = Store(str(tmp_path / "copy"))
    name = "jobs/job/study.journal"
    copy.write(name, remote.read(name) or b"")
    assert [trial.value for trial in journal(copy).trials] == [0.7]


def test_how_many_trials_of_an_earlier_search_are_taken_is_told(store: Store) -> None:
    events: list[dict[str, Any]] = []
    known = Record(-1, "small-kd", {"alpha": 0.3}, [0.8], 0.8, "complete")
    of = replace(searching(warm_start="before"), earlier=[known])
    board(store, of, tell=events.append).restore()
    assert events[0]["text"] == "the sampler learns from 1 trials of before"
