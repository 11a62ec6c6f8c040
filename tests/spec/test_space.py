from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kdray.spec.space import Space


@pytest.mark.parametrize(
    "space",
    [
        {"min": 0, "max": 1},
        {"min": 1e-4, "max": 1e-1, "log": True},
        {"min": 0, "max": 1, "step": 0.1},
        {"choices": [1, 2.5, True, "a"]},
    ],
)
def test_a_range_or_choices_are_a_space(space: dict[str, Any]) -> None:
    Space.model_validate(space)


def test_choices_keep_their_types() -> None:
    found = Space.model_validate({"choices": [1, 2.5, True, "a"]}).choices
    assert [type(choice) for choice in found] == [int, float, bool, str]


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({}, "give both min and max"),
        ({"min": 1}, "give both min and max"),
        ({"min": 1, "max": 1}, "min 1 must be below max 1"),
        ({"min": 0, "max": 1, "log": True}, "log needs min > 0"),
        ({"min": 1, "max": 2, "log": True, "step": 1}, "log needs min > 0 and no step"),
        ({"min": 1, "max": 2, "step": 0}, "greater than 0"),
        ({"choices": [1], "min": 0}, "not both"),
    ],
)
def test_what_is_neither_is_refused(space: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        Space.model_validate(space)
