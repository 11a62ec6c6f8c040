"""The searches of the benchmark are jobs; what is told of them follows from their events."""

from __future__ import annotations

from typing import Any

import pytest

from kdray.bench._asking import asking_s
from kdray.bench.search import QUICK, Search, Seen, Size, inputs, job, rows
from kdray.plan import make_plan


@pytest.mark.parametrize("size", [Size(), QUICK])
def test_a_search_has_four_arms_that_all_learn_from_records(size: Size) -> None:
    plan = make_plan(job("lab", size, Search("with-records", 8, concurrent=2)), "images", {})
    assert len(plan.searched) == 4
    assert len(plan.record) == 2
    # one view for each epoch: the most that recording can cost
    assert plan.views == size.epochs


def test_the_search_it_is_compared_with_records_nothing() -> None:
    live = make_plan(job("lab", QUICK, Search("live", 8, 2, mode="live")), "images", {})
    recorded = make_plan(job("lab", QUICK, Search("records", 8, 2)), "images", {})
    assert not live.record
    assert live.prepare.key == recorded.prepare.key
    keys = [{step.key for step in plan.pretrain.values()} for plan in (live, recorded)]
    assert keys[0] == keys[1]


def _seen(trial_s: float, pids: range, memory: int, shown: int = 0) -> Seen:
    """Return a search of four trials a worker with a second between two, after 2 s of start."""
    step = "search/search-0"
    events: list[dict[str, Any]] = [
        {"time": 0.0, "kind": "job_started"},
        {"time": 3.0, "kind": "step_finished", "step": "record/t-0", "seconds": 2.5},
        {"time": 4.0, "kind": "step_started", "step": step},
    ]
    for number in range(4):
        begun = 6.0 + number * (trial_s + 1)
        for pid in pids:
            events.append({"time": begun, "kind": "run_started", "step": step, "pid": pid})
            events.append({"time": begun + trial_s, "kind": "epoch", "step": step, "pid": pid})
    end = 6.0 + 4 * trial_s + 3
    events.append({"time": end, "kind": "step_finished", "step": step, "seconds": end - 4})
    return Seen(events, memory, shown)


RECORDED = _seen(2.0, range(2), 10_000_000, shown=320)
ONE = _seen(2.0, range(1), 10_000_000)


def test_what_is_told_follows_from_the_events() -> None:
    live, four = _seen(12.0, range(2), 0), _seen(2.0, range(4), 11_000_000)
    ratio, shown, between, memory, rates = rows(QUICK, RECORDED, live, ONE, ONE, four)
    assert ratio.value.median == (6 + 8 + 3) / (6 + 48 + 3)
    assert shown.met is True
    assert (between.value.median, between.met) == (1.0, False)
    assert memory.value.median == pytest.approx(1.1)
    assert rates.value.median == pytest.approx(2.0)
    assert rates.parts["1 workers"].median == pytest.approx(3600 / 3)


def test_memory_that_was_not_seen_is_not_judged() -> None:
    unseen = _seen(2.0, range(1), 0)
    *_, memory, _ = rows(QUICK, RECORDED, RECORDED, ONE, unseen, RECORDED)
    assert memory.met is None
    assert "not seen" in memory.note


def test_the_model_of_scaling_gets_what_was_measured() -> None:
    found = inputs(QUICK, RECORDED, ONE)
    assert found["trial_s"] == 2.0
    assert found["between_s"] == 1.0
    assert found["start_s"] == 2.0
    assert found["rate_2"] == pytest.approx(2 * found["rate_1"])
    # two teachers saw each of 80 images in two views; a trial of two epochs trains on 160
    assert found["trial_images"] == 160.0


def test_the_driver_is_timed_over_a_study_that_holds_earlier_trials() -> None:
    assert len(asking_s(3, times=2)) == 2
