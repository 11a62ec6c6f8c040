"""Trials that several workers share: one group takes them in turn, and survives its deaths."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from kdray.errors import StoreError
from kdray.run.board import Board
from kdray.run.group import Group
from kdray.run.group_search import _Clerk, run_group_search
from kdray.run.relay import relay
from kdray.run.shares import Share
from kdray.spec import Experiment
from tests.run.killing import Deadly, quiet, ready, started, trials


class Trials:
    """Stands in for a board of two trials, and stops those that score 0."""

    def __init__(self) -> None:
        self.left = ["first", "second"]
        self.ended: list[tuple[str, str, str]] = []

    def next(self, name: str) -> str | None:
        return self.left.pop(0) if self.left else None

    def report(self, name: str, epoch: int, score: float) -> bool:
        return score == 0

    def done(self, name: str, state: str, error: str = "") -> None:
        self.ended.append((name, state, error))


def clerk(board: Trials, max_failures: int = 1) -> _Clerk:
    return _Clerk(cast("Board", board), max_failures)


def test_a_trial_whose_workers_died_is_given_out_again_until_they_died_too_often() -> None:
    stand_in = Trials()
    made = clerk(stand_in)
    assert made(("next",)) == (True, ("0", "first"))
    made.died("killed")
    assert made(("next",)) == (True, ("0", "first"))
    made.died("killed")
    assert stand_in.ended == [("0", "failed", "its workers failed 2 times, at last: killed")]
    assert made(("next",)) == (True, ("1", "second"))
    made.died("killed")
    assert made(("next",)) == (True, ("1", "second"))  # each trial has its own deaths


def test_a_group_that_ends_for_a_trial_that_failed_has_not_died() -> None:
    stand_in = Trials()
    made = clerk(stand_in, max_failures=0)
    for name in ("0", "1"):
        made(("next",))
        made(("done", name, "failed", "no such thing"))
        made.died("no such thing")
    assert made(("next",)) == (True, None)
    assert made.is_over
    assert made.failure is None


def test_a_group_that_dies_before_it_has_a_trial_ends_the_search() -> None:
    made = clerk(Trials())
    made.died("no room")
    assert not made.is_over
    made.died("no room")
    assert made.is_over
    assert "its workers failed 2 times, at last: no room" in str(made.failure)


def test_a_trial_that_was_told_to_stop_before_it_died_is_told_again() -> None:
    made = clerk(Trials())
    made(("next",))
    assert made(("report", "0", 1, 0.0)) == (True, True)
    made.died("killed")
    made(("next",))
    assert made(("report", "0", 1, 0.5)) == (True, True)
    made(("done", "0", "pruned", ""))
    made(("next",))
    assert made(("report", "1", 1, 0.5)) == (True, False)


def test_an_error_of_the_board_ends_the_search_in_the_driver() -> None:
    class Broken(Trials):
        def report(self, name: str, epoch: int, score: float) -> bool:
            raise StoreError("runs", "is full.")

    made = clerk(Broken())
    made(("next",))
    assert made(("report", "0", 1, 0.5)) == (False, "runs: is full.")
    assert made(("next",)) == (False, "runs: is full.")
    assert made.is_over
    assert isinstance(made.failure, StoreError)


JOB = {
    "apiVersion": "kdray/v1",
    "kind": "Experiment",
    "name": "tiny",
    "data": {
        "source": {"name": "phantom", "params": {"num_images": 60}},
        "image_size": 32,
        "channels": 1,
    },
    "students": [{"id": "small", "model": {"name": "cnn5", "params": {"widths": [4] * 5}}}],
    "methods": ["none"],
    "train": {"student": {"epochs": 3, "optimizer": "sgd"}},
    "search": {
        "sampler": "grid",
        "scheduler": "none",
        "learning_rate": {"choices": [0.001, 1e30, 0.01]},
        "workers": 2,
    },
}


@pytest.mark.ray
def test_two_workers_share_each_trial_and_a_killed_one_costs_no_trial(
    cluster: str, tmp_path: Path
) -> None:
    job = Experiment.model_validate({**JOB, "storage": {"uri": str(tmp_path / "runs")}})
    work, store = ready(job)
    events: list[dict[str, Any]] = []
    with relay(events.append) as post:
        board = Deadly(work, store, quiet, events, "3/3", 2)
        run_group_search(board, Group(store, post, Share(0.5, 0), 2, 1))
    assert board.killed
    found = trials(store, work.path)
    assert [trial["state"] for trial in found] == ["complete", "failed", "complete"]
    assert "not finite" in found[1]["error"]
    assert [trial["params"]["learning_rate"] for trial in found] == [0.001, 1e30, 0.01]
    assert [len(trial["values"]) for trial in found] == [3, 0, 3]
    starts = [started(events, trial) for trial in ("1/3", "2/3", "3/3")]
    assert starts[0] == starts[1] == starts[2][:1]  # a trial that diverged ends no group
    assert len(starts[2]) == 2
    assert store.list("work") == []
