from __future__ import annotations

import time
from typing import Any

import pytest

from kdray.cli._words import Teller, clock, number


@pytest.fixture(autouse=True)
def _in_greenwich(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def lines(*events: dict[str, Any]) -> list[str]:
    teller = Teller()
    return [line for event in events for line in teller.lines({"step": "", **event})]


START = {
    "time": 43391.0,  # 12:03:11
    "kind": "job_started",
    "select": "macro_f1",
    "steps": [{"id": "p", "label": "pretrain resnet18", "state": "waiting"}],
}


def test_an_epoch_is_one_line_with_all_that_is_known_of_it() -> None:
    epoch = {
        "time": 43391.0,
        "kind": "epoch",
        "step": "p",
        "run": "resnet18",
        "epoch": 3,
        "epochs": 8,
        "loss": 0.41,
        "score": 0.83,
        "images_per_s": 412.4,
        "seconds_left": 21.0,
    }
    assert lines(START, epoch)[1] == (
        "12:03:11 pretrain resnet18 epoch 3/8 loss 0.410 macro_f1 0.830 412 images/s 0:21 left"
    )


def test_a_trial_is_one_line_with_its_settings() -> None:
    trial = {
        "time": 43391.0,
        "kind": "trial",
        "step": "p",
        "number": 4,
        "trials": 8,
        "score": 0.5,
        "state": "pruned",
        "params": {"alpha": 0.25, "learning_rate": 0.000123},
    }
    assert lines(START, trial)[1] == (
        "12:03:11 pretrain resnet18 trial 4 pruned macro_f1 0.500 "
        "alpha=0.250 learning_rate=0.000123"
    )


def test_a_job_says_how_much_of_it_is_done_already() -> None:
    steps = [*START["steps"], {"id": "a", "label": "a", "state": "done"}]
    said = lines({**START, "steps": steps})
    assert said == ["12:03:11 job started: 2 steps, 1 already done"]


def test_progress_is_told_now_and_then_and_at_its_end() -> None:
    told = [
        {"time": 43391.0 + t, "kind": "progress", "step": "p", "done": t, "total": 25, "unit": "s"}
        for t in range(1, 26)
    ]
    started = {"time": 43391.0, "kind": "step_started", "step": "p"}
    said = [line.split()[3] for line in lines(START, started, *told)[2:]]
    assert said == ["10/25", "20/25", "25/25"]


def test_the_parts_of_a_short_epoch_are_not_told_and_of_a_long_one_are() -> None:
    part = {
        "kind": "progress",
        "step": "p",
        "epoch": 2,
        "epochs": 3,
        "total": 84,
        "unit": "images",
    }
    started = {"time": 43391.0, "kind": "step_started", "step": "p"}
    said = lines(
        START,
        started,
        {**part, "time": 43392.0, "done": 84},
        {**part, "time": 43402.0, "done": 28},
    )
    assert len(said) == 3
    assert said[2].startswith("12:03:22 pretrain resnet18 epoch 2/3 28/84 images")


def test_an_error_of_several_lines_is_several_lines_with_their_time() -> None:
    failed = {"time": 43391.0, "kind": "job_failed", "error": "one\ntwo"}
    assert lines(START, failed)[1:] == ["12:03:11 job failed: one", "12:03:11 two"]


def test_kinds_that_are_not_known_are_no_line() -> None:
    assert lines({"time": 0.0, "kind": "weather"}) == []


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0:00"), (20.6, "0:21"), (723, "12:03"), (4323, "1:12:03")]
)
def test_durations_read_like_a_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(3, "3"), (0.8315, "0.832"), (0.00012345, "0.000123"), ("adam", "adam")]
)
def test_numbers_have_the_digits_a_reader_needs(value: Any, shown: str) -> None:
    assert number(value) == shown
