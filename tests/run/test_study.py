from __future__ import annotations

import math

import pytest

from kdray.run.study import Record, Study
from kdray.spec.experiment import Search
from kdray.spec.space import Space

SPACES = {
    "alpha": Space(min=0.1, max=0.9),
    "T": Space(min=1, max=10, log=True),
    "mode": Space(choices=("a", "b")),
}


def study(select: str = "macro_f1", **search: object) -> Study:
    settings = Search.model_validate({"trials": 12, "scheduler": "none", **search})
    return Study("arm", SPACES, {"alpha": 0.5, "T": 4.0, "other": 1}, settings, select)


def score(params: dict[str, float]) -> float:
    return 1 - abs(params["alpha"] - 0.3) - 0.1 * abs(math.log(params["T"] / 2))


def play(made: Study, trials: int) -> list[Record]:
    for _ in range(trials):
        number, params = made.ask()
        for epoch in (1, 2, 3):
            if made.report(number, epoch, score(params) * epoch / 3):
                made.tell(number, "pruned")
                break
        else:
            made.tell(number, "complete")
    return list(made.records.values())


def test_the_first_trial_uses_the_defaults_that_lie_in_the_spaces() -> None:
    number, params = study().ask()
    assert number == 0
    assert params["alpha"] == 0.5
    assert params["T"] == 4.0


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("scheduler", ["asha", "none"])
def test_a_study_rebuilt_after_any_trial_ends_as_the_undisturbed_one(
    sampler: str, scheduler: str
) -> None:
    whole = play(study(sampler=sampler, scheduler=scheduler), 12)
    for cut in (1, 5, 11):
        again = study(sampler=sampler, scheduler=scheduler)
        again.restore(whole[:cut])
        assert play(again, 12 - cut) == whole


def test_records_after_a_gap_are_left_out() -> None:
    whole = play(study(), 4)
    again = study()
    again.restore([whole[0], whole[2], whole[3]])
    assert list(again.records) == [0]


def test_asha_stops_weak_trials_and_none_stops_no_trial() -> None:
    stopped = play(study(scheduler="asha", reduction_factor=2), 12)
    assert {record.state for record in stopped} == {"pruned", "complete"}
    assert {record.state for record in play(study(), 12)} == {"complete"}


def test_the_best_trial_is_the_highest_score_and_for_a_loss_the_lowest() -> None:
    high, low = study(), study("loss")
    play(high, 6)
    play(low, 6)
    best_high, best_low = high.best(), low.best()
    assert best_high is not None
    assert best_low is not None
    assert best_high.score == max(record.score or 0 for record in high.records.values())
    assert best_low.score == min(record.score or 9 for record in low.records.values())


def test_a_trial_without_a_score_failed() -> None:
    made = study()
    number, _ = made.ask()
    record = made.tell(number, "complete")
    assert record.state == "failed"
    assert made.best() is None


def test_tpe_finds_better_settings_than_its_first_guess() -> None:
    made = study(trials=30)
    records = play(made, 30)
    best = made.best()
    assert best is not None
    assert (best.score or 0) > (records[0].score or 0)


def test_whole_steps_give_whole_numbers() -> None:
    spaces = {"blocks": Space(min=1, max=4, step=1)}
    made = Study("arm", spaces, {}, Search(), "accuracy")
    _, params = made.ask()
    assert isinstance(params["blocks"], int)


def test_a_trial_is_not_stopped_at_its_last_epoch() -> None:
    made = study(scheduler="asha", reduction_factor=2)
    for worst in (0.9, 0.5, 0.1):
        number, _ = made.ask()
        assert not made.report(number, 1, worst, last=True)
        assert made.tell(number, "complete").state == "complete"
