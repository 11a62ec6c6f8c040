"""Variants take turns, and each round gives one ratio."""

from __future__ import annotations

import gc

import pytest

from kdray.bench._timing import (
    Effort,
    Spread,
    alternate,
    alternate_for,
    ratios,
    seconds_of,
    spread,
)


def _variants(told: list[str]) -> dict[str, object]:
    def say(name: str, seconds: float) -> float:
        told.append(name)
        return seconds

    return {"a": lambda: say("a", 3.0), "b": lambda: say("b", 2.0)}


def test_variants_take_turns_and_every_other_round_goes_backwards() -> None:
    told: list[str] = []
    alternate(_variants(told), rounds=3, warm_up=0)
    assert "".join(told) == "abbaab"


def test_rounds_of_warming_up_are_not_counted() -> None:
    told: list[str] = []
    times = alternate(_variants(told), rounds=2, warm_up=3)
    assert len(told) == 2 * (2 + 3)
    assert times == {"a": [3.0, 3.0], "b": [2.0, 2.0]}


def test_a_ratio_is_that_of_its_round() -> None:
    times = {"ours": [2.0, 9.0], "teacher": [1.0, 2.0], "student": [1.0, 1.0]}
    assert ratios(times, ["ours"], ["teacher", "student"]) == [1.0, 3.0]


def test_spread_holds_the_quartiles() -> None:
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(median=3.0, low=2.0, high=4.0, n=5)


def test_one_measurement_has_no_spread_and_none_is_an_error() -> None:
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0, 1)
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_seconds_are_those_between_two_looks_at_the_clock_after_the_device_is_done() -> None:
    said: list[str] = []
    hands = iter([10.0, 12.5])

    def clock() -> float:
        said.append("clock")
        return next(hands)

    seconds = seconds_of(lambda: said.append("work"), lambda: said.append("wait"), clock)
    assert seconds == 2.5
    assert said == ["wait", "clock", "work", "wait", "clock"]


def test_no_garbage_is_collected_within_a_measurement_and_again_after_it() -> None:
    seen: list[bool] = []
    seconds_of(lambda: seen.append(gc.isenabled()))
    assert seen == [False]
    assert gc.isenabled()


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 4), (35.0, 7), (1e6, 9)])
def test_rounds_fill_the_time_within_their_limits(seconds: float, rounds: int) -> None:
    # a round of both takes 5 s
    times = alternate_for(_variants([]), Effort(seconds, least=4, most=9))
    assert [len(values) for values in times.values()] == [rounds, rounds]
