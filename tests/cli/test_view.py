from __future__ import annotations

from typing import Any

import pytest

from kdray.cli._view import View


def event(kind: str, step: str = "", time: float = 0.0, **facts: Any) -> dict[str, Any]:
    return {"time": time, "kind": kind, "step": step, **facts}


@pytest.fixture
def view() -> View:
    steps = [
        {"id": "prepare", "label": "prepare phantom", "state": "done"},
        {"id": "search", "label": "search kd", "state": "waiting"},
    ]
    return View([event("job_started", time=100.0, job="tiny", steps=steps)])


def test_a_job_begins_with_its_steps_as_they_are(view: View) -> None:
    assert (view.job, view.state) == ("tiny", "running")
    assert [step.state for step in view.steps.values()] == ["skipped", "waiting"]


def test_a_step_that_began_before_goes_on_waiting_for_its_turn() -> None:
    steps = [{"id": "search", "label": "search kd", "state": "started"}]
    view = View([event("job_started", steps=steps)])
    assert view.steps["search"].state == "waiting"


def test_a_step_is_called_by_its_kind_and_its_label() -> None:
    steps = [
        {"id": "a", "kind": "distil", "label": "cnn5 alone seed 0"},
        {"id": "b", "kind": "evaluate", "label": "evaluate"},
    ]
    view = View([event("job_started", steps=steps)])
    assert [step.label for step in view.steps.values()] == ["distil cnn5 alone seed 0", "evaluate"]


def test_a_step_runs_and_is_done_with_the_seconds_it_was_told(view: View) -> None:
    view.take(event("step_started", "search", 110.0))
    assert view.steps["search"].elapsed(112.0) == 2.0
    view.take(event("step_finished", "search", 120.0, seconds=9.5))
    assert view.steps["search"].state == "done"
    assert view.steps["search"].elapsed(999.0) == 9.5


def test_a_run_of_the_job_forgets_the_one_before(view: View) -> None:
    view.take(event("job_failed", time=101.0, error="no"))
    view.take(event("job_started", time=200.0, steps=[]))
    assert (view.steps, view.error, view.elapsed(205.0)) == ({}, "", 5.0)


def test_epochs_are_the_progress_of_a_step_that_counts_nothing_else(view: View) -> None:
    view.take(event("epoch", "search", 101.0, epoch=3, epochs=8, seconds_left=10.0))
    step = view.steps["search"]
    assert (step.done, step.total, step.unit, step.left(105.0)) == (3, 8, "epochs", 6.0)


def test_a_part_of_an_epoch_moves_the_bar_and_not_the_time_left(view: View) -> None:
    view.take(event("step_started", "search", 100.0))
    view.take(event("epoch", "search", 110.0, epoch=1, epochs=2, seconds_left=10.0))
    view.take(
        event("progress", "search", 114.0, epoch=2, epochs=2, done=3, total=4, unit="images")
    )
    step = view.steps["search"]
    assert (step.done, step.total, step.left(114.0)) == (1.75, 2, 6.0)


def test_the_name_of_the_score_is_the_metric_of_the_epochs(view: View) -> None:
    view.take(event("epoch", "search", epoch=1, epochs=2, score=0.5, metric="auc"))
    assert view.score == "auc"


def test_epochs_are_a_detail_of_a_step_that_counts_trials(view: View) -> None:
    view.take(event("epoch", "search", 101.0, run="trial 0", epoch=1, epochs=1))
    for number, state in ((0, "running"), (0, "complete"), (1, "pruned"), (2, "running")):
        view.take(event("trial", "search", 102.0, number=number, trials=8, state=state))
    view.take(event("epoch", "search", 103.0, run="trial 2", epoch=1, epochs=1))
    step = view.steps["search"]
    assert (step.done, step.total, step.unit) == (2, 8, "trials")


def test_a_trial_that_is_told_twice_counts_once(view: View) -> None:
    for _ in range(2):
        view.take(event("trial", "search", number=0, trials=8, state="complete"))
    assert view.steps["search"].done == 1


def test_time_left_follows_from_the_pace_so_far(view: View) -> None:
    view.take(event("step_started", "search", 100.0))
    view.take(event("progress", "search", 110.0, done=25, total=100, unit="images"))
    assert view.steps["search"].left(110.0) == 30.0  # 10 s for a quarter
    assert view.steps["search"].left(115.0) == 25.0


def test_nobody_knows_the_time_left_before_anything_is_done(view: View) -> None:
    view.take(event("progress", "search", 110.0, done=0, total=100))
    assert view.steps["search"].left(111.0) is None


@pytest.mark.parametrize(("score", "best"), [("macro_f1", 0.9), ("loss", 0.5)])
def test_the_best_score_is_the_highest_or_the_lowest_loss(score: str, best: float) -> None:
    view = View([event("job_started", steps=[], select=score)])
    for value in (0.7, 0.9, 0.5):
        view.take(event("trial", "search", number=0, trials=3, score=value, state="running"))
    assert view.steps["search"].best == best


def test_a_score_that_is_not_known_changes_nothing(view: View) -> None:
    view.take(event("epoch", "search", epoch=1, epochs=2, score=0.6))
    view.take(event("epoch", "search", epoch=2, epochs=2, score=None))
    assert view.steps["search"].best == 0.6


@pytest.mark.parametrize(
    ("end", "state"), [("finished", "done"), ("failed", "failed"), ("stopped", "stopped")]
)
def test_the_end_of_a_job_ends_the_steps_that_ran(view: View, end: str, state: str) -> None:
    view.take(event("step_started", "search", 110.0))
    view.take(event(f"job_{end}", time=115.0))
    assert (view.state, view.steps["search"].state) == (end, state)
    assert view.steps["search"].elapsed(999.0) == 5.0


def test_a_job_that_ended_without_a_word_is_closed_from_outside(view: View) -> None:
    view.take(event("step_started", "search", 110.0))
    view.close("lost")
    assert (view.state, view.steps["search"].state) == ("lost", "lost")


def test_kinds_that_are_not_known_change_no_state(view: View) -> None:
    view.take(event("run_started", "search", run="trial 0"))
    view.take(event("weather", "", text="rain"))
    assert [step.state for step in view.steps.values()] == ["skipped", "waiting"]


def test_facts_for_programs_say_how_far_each_step_is(view: View) -> None:
    view.take(event("trial", "search", 110.0, number=0, trials=2, state="complete", score=0.5))
    fact = view.facts(112.0)[1]
    assert (fact["state"], fact["done"], fact["total"], fact["best"]) == ("running", 1, 2, 0.5)
    assert fact["now"] == {"number": 0, "trials": 2, "state": "complete", "score": 0.5}
