"""The model of scaling, against sums worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kdray.bench.scaling import FEW, MANY, Measured, Wanted, cells, duration, forecast
from kdray.errors import DataError

MEASURED = Measured(
    trial_s=9.0,
    between_s=1.0,
    start_s=5.0,
    rate_1=0.1,
    rate_2=0.2,
    trial_images=1000.0,
    record_images=800.0,
    record_s=40.0,
    record_workers=2.0,
    ask_few_s=0.01,
    ask_many_s=0.01,
    read_images_s=10000.0,
)


def test_workers_share_trials_evenly_and_the_last_ones_are_waited_for() -> None:
    found = forecast(MEASURED, Wanted(workers=4, trials=20))
    assert found.search_s == pytest.approx(5 + 20 * 10 / 4 + 10)
    assert found.trials_hour == pytest.approx(3600 * 20 / 65)


def test_recording_is_shared_by_the_workers() -> None:
    assert forecast(MEASURED, Wanted(workers=8, trials=1)).record_s == pytest.approx(40 * 2 / 8)


def test_a_faster_worker_trains_faster_and_waits_as_long() -> None:
    found = forecast(MEASURED, Wanted(workers=1, trials=10, speedup=9))
    assert found.search_s == pytest.approx(5 + 10 * (1 + 1) + 2)


def test_workers_that_hinder_each_other_lose_what_two_of_them_lost() -> None:
    slower = replace(MEASURED, rate_2=0.1)
    found = forecast(slower, Wanted(workers=2, trials=10))
    assert found.search_s == pytest.approx(5 + 10 * 10 / (2 * 0.5) + 10)


def test_the_driver_limits_where_it_takes_longer_than_all_workers() -> None:
    found = forecast(MEASURED, Wanted(workers=10_000, trials=1000))
    assert found.search_s == pytest.approx(5 + 1000 * 0.01 + 10)
    assert found.limits["driver"] == pytest.approx(10 / 0.01)
    assert found.first == "driver"


def test_the_driver_works_longer_for_each_trial() -> None:
    growing = replace(MEASURED, ask_few_s=0.001 * FEW, ask_many_s=0.001 * MANY)
    found = forecast(growing, Wanted(workers=10**9, trials=100))
    assert found.search_s == pytest.approx(5 + sum(0.001 * n for n in range(100)) + 10)


def test_readers_that_are_slower_than_their_workers_limit() -> None:
    slow = replace(MEASURED, read_images_s=10.0)
    found = forecast(slow, Wanted(workers=2, trials=10, cpus=1))
    assert found.first == "reading"
    assert found.search_s == pytest.approx(5 + 10 * 1000 / 10 / 2 + 10)


def test_a_missing_measurement_is_named() -> None:
    given = {**vars(MEASURED)}
    del given["start_s"]
    with pytest.raises(DataError, match="start_s was not measured"):
        Measured.of(given)
    assert Measured.of(vars(MEASURED)) == MEASURED


def test_forecasts_are_told_in_words() -> None:
    (told,) = cells(MEASURED, [Wanted(workers=8, trials=1000)])
    assert told[0] == "8 of 1 times a measured one"
    assert told[2] == duration(5 + 1000 * 10 / 8 + 10)
    assert "driver, from 1,000 workers" in told[-1]
