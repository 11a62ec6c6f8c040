from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest

from kdray.errors import RunError
from kdray.plan.spaces import allows
from kdray.run.study import Study
from kdray.run.trials import Record, SearchArm, pareto_of
from kdray.spec.experiment import Method
from kdray.spec.space import Space
from tests.run.searches import DEFAULTS, SPACES, arm, play, score, search

WEIGHTS = {"alpha": Space(min=0.1, max=0.9), "beta": Space(min=0.1, max=0.9)}


def study(*arms: SearchArm, select: str = "macro_f1", **fields: object) -> Study:
    return Study(arms or (arm(),), search(**fields), select, 3)


def test_the_first_trial_of_each_arm_uses_the_defaults_that_lie_in_the_spaces() -> None:
    made = study(arm("a"), arm("b"))
    for slug in ("a", "b"):
        record = made.ask()
        assert record is not None
        assert record.arm == slug
        assert (record.params["alpha"], record.params["T"]) == (0.5, 4.0)
        assert record.params["learning_rate"] in (0.001, 0.01)


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2"])
@pytest.mark.parametrize("scheduler", ["asha", "median", "hyperband", "none"])
def test_a_study_rebuilt_after_any_trial_ends_as_the_undisturbed_one(
    sampler: str, scheduler: str
) -> None:
    def fresh() -> Study:
        arms = arm("a", trials=6), arm("b", "fbce_mse", trials=6)
        return study(*arms, trials=6, min_trials=4, sampler=sampler, scheduler=scheduler)

    whole = play(fresh())
    assert len(whole) == 12
    for cut in (1, 5, 11):
        again = fresh()
        again.restore(whole[:cut])
        assert play(again) == whole


def test_trials_after_a_gap_are_kept_and_the_gap_is_filled() -> None:
    whole = play(study(), 4)
    again = study()
    again.restore([whole[0], whole[2], whole[3]])
    assert sorted(again.records) == [0, 2, 3]
    record = again.ask()
    assert record is not None
    assert record.number == 1


def test_trials_that_ran_when_the_driver_died_come_first_with_their_settings() -> None:
    made = study()
    asked = [made.ask() for _ in range(3)]
    running = [record for record in asked if record is not None]
    made.report(1, 1, 0.5)
    done = made.tell(1, "complete")
    again = study()
    again.restore([running[0], done, running[2]])
    assert [again.ask() for _ in range(2)] == [running[0], running[2]]
    following = again.ask()
    assert following is not None
    assert following.number == 3


def test_arms_advance_together_and_have_equal_numbers() -> None:
    records = play(study(arm("a", trials=4), arm("b", trials=4), arm("c", trials=4), trials=4))
    assert [record.arm for record in records] == ["a", "b", "c"] * 4
    assert [record.number for record in records] == list(range(12))


def test_beyond_the_least_number_the_sampler_prefers_the_better_arm() -> None:
    arms = arm("weak", trials=30), arm("strong", trials=30)

    def scored(record: Record) -> float:
        return score(record.params) + (2.0 if record.arm == "strong" else 0.0)

    made = study(*arms, trials=30, min_trials=5)
    counts = Counter(record.arm for record in play(made, scored=scored))
    assert sum(counts.values()) == 60
    assert counts["weak"] >= 5
    assert counts["strong"] > 1.5 * counts["weak"]


def test_a_weak_arm_learns_from_its_own_trials_alone() -> None:
    def scored(record: Record) -> float:
        own = score(record.params)
        return own if record.arm == "weak" else 100 - own  # what is good for one is bad for both

    made = study(arm("weak", trials=30), arm("strong", trials=30), trials=30)
    play(made, scored=scored)
    best = made.best("weak")
    assert best is not None
    assert abs(best.params["alpha"] - 0.3) < 0.1


def test_a_budget_that_is_spent_stops_after_the_least_number_of_each_arm() -> None:
    made = study(arm("a"), arm("b"), min_trials=2)
    given = []
    while (record := made.ask(spent=True)) is not None:
        made.report(record.number, 1, 0.5)
        made.tell(record.number, "complete")
        given.append(record.arm)
    assert given == ["a", "b", "a", "b"]
    assert made.is_over(spent=True)
    assert not made.is_over(spent=False)


def test_an_arm_whose_first_trials_failed_gets_others() -> None:
    made = study(arm("a", trials=3), arm("b", trials=3), trials=3, min_trials=1)
    given = []
    while (record := made.ask(spent=True)) is not None:
        made.report(record.number, 1, 0.5)
        fails = record.arm == "a" and given.count("a") == 0
        made.tell(record.number, "failed" if fails else "complete")
        given.append(record.arm)
    assert sorted(given) == ["a", "a", "b"]
    assert made.best("a") is not None


def test_asha_stops_weak_trials_and_none_stops_no_trial() -> None:
    stopped = play(study(scheduler="asha", reduction_factor=2))
    assert {record.state for record in stopped} == {"pruned", "complete"}
    assert {record.state for record in play(study())} == {"complete"}


def test_median_stops_what_is_worse_than_the_median_of_its_arm() -> None:
    made = study(scheduler="median")
    for value in (0.5, 0.6, 0.7, 0.4, 0.9):
        record = made.ask()
        assert record is not None
        stops = [made.report(record.number, epoch, value) for epoch in (1, 2)]
        assert any(stops) == (value == 0.4)
        made.tell(record.number, "pruned" if any(stops) else "complete")


def test_a_weak_student_is_not_stopped_for_a_strong_one() -> None:
    made = study(arm("weak"), arm("strong"), scheduler="asha", reduction_factor=2)

    def scored(record: Record) -> float:
        return (0.0 if record.arm == "weak" else 10.0) + record.number / 100

    records = play(made, scored=scored)
    assert {record.state for record in records} == {"complete"}


def test_several_objectives_are_pruned_by_the_score_alone() -> None:
    arms = arm("a", macs=1.0), arm("b", macs=2.0)
    made = study(*arms, scheduler="asha", reduction_factor=2, against=["macs"], sampler="nsga2")
    records = play(made)
    assert {record.state for record in records} == {"pruned", "complete"}
    assert records[0].costs == {"macs": 1.0}


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_the_pareto_front_is_that_of_brute_force(sampler: str) -> None:
    price = [("a", 1.0, 9.0), ("b", 2.0, 4.0), ("c", 3.0, 5.0)]
    arms = [arm(slug, macs=macs, latency_ms=ms) for slug, macs, ms in price]
    made = study(*arms, min_trials=3, sampler=sampler, against=["macs", "latency_ms"])
    records = play(made)
    front = {record.number for record in made.pareto()}
    assert front == {one.number for one in records if not any(_beats(o, one) for o in records)}


def _beats(other: Record, one: Record) -> bool:
    """Return whether another trial is as good in all and better in one; the first of equals."""
    assert other.score is not None
    assert one.score is not None
    mine = (-one.score, *one.costs.values())
    theirs = (-other.score, *other.costs.values())
    if mine == theirs:
        return other.number < one.number
    return all(a <= b for a, b in zip(theirs, mine, strict=True))


def test_a_loss_is_kept_low_on_the_front_too() -> None:
    records = [
        Record(0, "a", {}, [0.2], 0.2, "complete", {"macs": 2.0}),
        Record(1, "b", {}, [0.4], 0.4, "complete", {"macs": 1.0}),
        Record(2, "b", {}, [0.5], 0.5, "complete", {"macs": 1.0}),
    ]
    assert [record.number for record in pareto_of(records, "loss")] == [0, 1]


def test_a_grid_tries_every_combination_once_the_defaults_first() -> None:
    spaces = {"alpha": Space(min=0.3, max=0.7, step=0.2), "T": Space(choices=(2.0, 4.0))}
    arms = arm("a", spaces=spaces, trials=6), arm("b", spaces={"T": spaces["T"]}, trials=2)
    records = play(study(*arms, sampler="grid"), scored=lambda record: 0.5)
    own = [tuple(record.params.values()) for record in records if record.arm == "a"]
    assert own[0] == (0.5, 4.0)
    assert set(own) == {(a, t) for a in (0.3, 0.5, 0.7) for t in (2.0, 4.0)}
    assert len(records) == 8


def test_a_grid_goes_on_with_what_was_not_tried_before() -> None:
    spaces = {"T": Space(choices=(1.0, 2.0, 4.0, 8.0))}
    whole = play(study(arm(spaces=spaces, trials=4), sampler="grid"), scored=lambda r: 0.5)
    again = study(arm(spaces=spaces, trials=4), sampler="grid")
    again.restore(whole[1:3])
    rest = play(again, scored=lambda record: 0.5)
    assert sorted(record.params["T"] for record in rest) == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2"])
def test_no_trial_has_settings_that_the_method_refuses(sampler: str) -> None:
    of = replace(arm("a", "dfkd", WEIGHTS, 30), defaults={"alpha": 0.4, "beta": 0.3})
    records = play(study(of, trials=30, sampler=sampler))
    assert all(record.params["alpha"] + record.params["beta"] <= 1 for record in records)
    assert len(records) == 30


def test_settings_that_are_always_refused_end_the_search_with_a_remedy() -> None:
    apart = {"alpha": Space(min=0.7, max=0.9), "beta": Space(min=0.5, max=0.9)}
    assert not allows(Method(name="dfkd"), {"alpha": 0.7, "beta": 0.5})
    with pytest.raises(RunError, match=r"refuses \d+ settings.*Narrow its spaces"):
        study(arm("a", "dfkd", apart)).ask()


def test_an_earlier_search_is_learned_from_but_not_counted() -> None:
    known = []
    for step in range(30):
        params = {"alpha": 0.1 + step * 0.025, "T": 2.0, "learning_rate": 0.001}
        known.append(Record(-1, "small-kd", params, [], score(params), "complete"))
    records = play(Study([arm()], search(), "macro_f1", 3, known))
    assert [record.number for record in records] == list(range(12))
    near = [record for record in records[1:] if abs(record.params["alpha"] - 0.3) < 0.2]
    assert len(near) > 6


def test_the_best_trial_is_the_highest_score_and_for_a_loss_the_lowest() -> None:
    high, low = study(), study(select="loss")
    scores = [record.score or 0 for record in play(high)]
    losses = [record.score or 9 for record in play(low)]
    best_high, best_low = high.best("small-kd"), low.best("small-kd")
    assert best_high is not None
    assert best_low is not None
    assert best_high.score == max(scores)
    assert best_low.score == min(losses)


@pytest.mark.parametrize("values", [(), (math.nan,), (math.nan, math.inf)])
def test_a_trial_without_a_number_as_score_failed(values: tuple[float, ...]) -> None:
    made = study()
    record = made.ask()
    assert record is not None
    for epoch, value in enumerate(values, 1):
        made.report(record.number, epoch, value)
    assert made.tell(record.number, "complete").state == "failed"
    assert made.best("small-kd") is None
    assert made.ask() is not None


def test_tpe_finds_better_settings_than_its_first_guess() -> None:
    made = study(arm(trials=30), trials=30)
    records = play(made)
    best = made.best("small-kd")
    assert best is not None
    assert (best.score or 0) > (records[0].score or 0)


def test_whole_steps_give_whole_numbers() -> None:
    record = study(arm(spaces={"T": Space(min=1, max=4, step=1)})).ask()
    assert record is not None
    assert isinstance(record.params["T"], int)


def test_a_trial_is_not_stopped_at_its_last_epoch() -> None:
    made = Study([arm()], search(scheduler="asha", reduction_factor=2), "macro_f1", 1)
    for worst in (0.9, 0.5, 0.1):
        record = made.ask()
        assert record is not None
        assert not made.report(record.number, 1, worst)
        assert made.tell(record.number, "complete").state == "complete"


def test_two_methods_with_the_same_setting_have_it_apart() -> None:
    names = {*arm(method="kd").distributions(), *arm(method="fbce_mse").distributions()}
    assert names == {"kd/alpha", "kd/T", "fbce_mse/alpha", "fbce_mse/T", "learning_rate"}
    assert set(SPACES) < set(DEFAULTS)
