from __future__ import annotations

import random

import pytest

from kdray.errors import JobError
from kdray.plan.spaces import allows, combinations, draw, num_trials, spaces_of, values_of
from kdray.spec.experiment import Method, Search
from kdray.spec.space import Space

GRID = Search(sampler="grid")


def method(name: str = "kd", **fields: object) -> Method:
    return Method.model_validate({"name": name, **fields})


def test_steps_give_the_numbers_that_a_person_would_write() -> None:
    assert values_of(Space(min=0.1, max=0.5, step=0.1)) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert values_of(Space(min=1, max=4, step=2)) == [1, 3]


def test_a_grid_of_choices_and_steps_has_every_combination() -> None:
    of = method(search={"alpha": {"min": 0.2, "max": 0.6, "step": 0.2}, "T": {"choices": [5, 10]}})
    spaces = spaces_of(GRID, of)
    found = combinations(of, spaces)
    assert found[0] == {"alpha": 0.2, "T": 5}
    assert len(found) == num_trials(GRID, of, spaces) == 6


def test_a_grid_over_a_range_without_steps_is_refused_with_its_place() -> None:
    with pytest.raises(JobError, match=r"methods\.kd\.search\.alpha: a grid needs choices"):
        spaces_of(GRID, method())
    rates = Search(sampler="grid", learning_rate=Space(min=1e-3, max=1e-2))
    fixed = method(params={"alpha": 0.5, "T": 4.0})
    with pytest.raises(JobError, match=r"search\.learning_rate: a grid needs choices"):
        spaces_of(rates, fixed)


def test_a_grid_leaves_out_what_the_method_refuses() -> None:
    weights = {"choices": [0.3, 0.6]}
    fixed = {"T": 6.0, "kappa": 3.0, "eta": 0.5}
    of = method("dfkd", params=fixed, search={"alpha": weights, "beta": weights})
    found = [tuple(params.values()) for params in combinations(of, spaces_of(GRID, of))]
    assert found == [(0.3, 0.3), (0.3, 0.6), (0.6, 0.3)]


def test_masks_recorded_for_one_kappa_are_not_searched_over_it_unasked() -> None:
    bits = {"mask": "hard", "record": "bits"}
    assert "kappa" in spaces_of(Search(), method("dfkd", params={"mask": "hard"}))
    assert "kappa" not in spaces_of(Search(), method("dfkd", params=bits))
    asked = method("dfkd", params=bits, search={"kappa": {"choices": [2, 3]}})
    assert "kappa" in spaces_of(Search(), asked)


def test_what_is_drawn_lies_in_its_space() -> None:
    spaces = {
        "a": Space(min=1e-4, max=1e-1, log=True),
        "b": Space(min=2, max=8, step=3),
        "c": Space(choices=("x", "y")),
    }
    numbers = random.Random(0)
    for _ in range(100):
        drawn = draw(spaces, numbers)
        assert 1e-4 <= drawn["a"] <= 1e-1
        assert drawn["b"] in (2, 5, 8)
        assert drawn["c"] in ("x", "y")


def test_a_method_is_asked_with_what_is_fixed() -> None:
    of = method("dfkd", params={"alpha": 0.7})
    assert allows(of, {"beta": 0.3, "learning_rate": 0.1})
    assert not allows(of, {"beta": 0.4, "learning_rate": 0.1})


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"trials": 4, "min_trials": 5}, "min_trials 5 is above trials 4"),
        ({"hours": 1}, "hours needs min_trials"),
        ({"gpu_hours": 1}, "gpu_hours needs min_trials"),
        ({"against": ["macs", "macs"]}, "against names a cost twice"),
        ({"warm_start": "a", "sampler": "random"}, "needs the sampler tpe: random takes nothing"),
    ],
)
def test_a_search_that_does_not_add_up_is_refused(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Search.model_validate(fields)
