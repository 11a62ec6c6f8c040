"""What a search waited for follows from its events."""

from __future__ import annotations

import pytest

from kdray.bench._events import between_s, rate, searching_s, spent_s, training_s, trials

STEP = "search/search-0"


def _event(time: float, kind: str, step: str = STEP, **facts: object) -> dict[str, object]:
    return {"time": time, "kind": kind, "step": step, **facts}


#: One process: trials of 4 s and 6 s, 1 s between them; two epochs each.
EVENTS = [
    _event(0.0, "job_started", ""),
    _event(3.0, "step_finished", "pretrain/t-0", seconds=3.0),
    _event(5.0, "step_finished", "record/t-0", seconds=1.5),
    _event(7.0, "step_finished", "record/u-0", seconds=1.0),
    _event(8.0, "step_started"),
    _event(10.0, "run_started", pid=7),
    _event(12.0, "epoch", pid=7),
    _event(14.0, "epoch", pid=7),
    _event(15.0, "run_started", pid=7),
    _event(18.0, "epoch", pid=7),
    _event(21.0, "epoch", pid=7),
    _event(23.0, "step_finished", seconds=15.0),
]


def test_a_search_is_counted_from_the_end_of_the_pretraining() -> None:
    assert searching_s(EVENTS) == 20.0


def test_a_search_of_trained_teachers_is_counted_from_its_begin() -> None:
    assert searching_s([event for event in EVENTS if "pretrain" not in event["step"]]) == 23.0


def test_steps_of_a_kind_add_up() -> None:
    assert spent_s(EVENTS, "record") == 2.5


def test_a_trial_lasts_from_its_begin_to_the_end_of_its_last_epoch() -> None:
    assert trials(EVENTS) == [[(10.0, 14.0), (15.0, 21.0)]]
    assert training_s(trials(EVENTS)) == 5.0
    assert between_s(trials(EVENTS)) == [1.0]


def test_the_rate_counts_a_wait_for_each_trial() -> None:
    assert rate(trials(EVENTS)) == pytest.approx(2 / (4 + 1 + 6 + 1))
