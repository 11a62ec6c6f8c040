"""Rows say what was found and whether it is within its bar."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kdray.bench._table import COLUMNS, Row, as_json, cells, markdown, number
from kdray.bench._timing import Spread

FAST = Row("a / b", Spread(1.02, 1.0, 1.05, 9), bar=1.05, parts={"a": Spread(0.25, 0.2, 0.3, 9)})


def test_a_bar_is_met_by_the_median() -> None:
    assert FAST.met is True
    assert Row("a / b", Spread(1.06, 1.0, 1.1, 9), bar=1.05).met is False
    assert Row("a / b", Spread(1.06, 1.0, 1.1, 9)).met is None


def test_a_bar_to_be_reached_is_met_from_there_on() -> None:
    row = Row("b / a", Spread(3.0, 2.9, 3.1, 9), "times", bar=3, at_least=True)
    assert row.met is True
    assert Row("b / a", Spread(2.9, 2.8, 3.1, 9), bar=3, at_least=True).met is False
    assert cells([row])[0][1:4] == ("3.00 times (2.90 to 3.10, n 9)", ">= 3", "yes")


def test_correlations_have_digits_that_tell_them_from_one() -> None:
    mean = Spread(0.999999, 0.999999, 0.999999, 1)
    row = Row("r", Spread(0.99991, 0.99991, 0.99991, 1), "Pearson", parts={"mean": mean})
    row = replace(row, parts_unit="Pearson")
    assert cells([row])[0][1] == "0.99991"
    assert cells([row])[0][4] == "mean 1.00000"


def test_a_row_is_told_with_its_spread_and_its_parts() -> None:
    told = dict(zip(COLUMNS, cells([FAST])[0], strict=True))
    assert told == {
        "what": "a / b",
        "value": "1.02 (1.00 to 1.05, n 9)",
        "bar": "1.05",
        "met": "yes",
        "made of": "a 0.25 s",
    }


def test_a_single_measurement_is_told_without_a_spread() -> None:
    row = Row("seen", Spread(0.0, 0.0, 0.0, 1), "images", bar=0)
    assert cells([row])[0][:4] == ("seen", "0 images", "0", "yes")


def test_markdown_has_a_line_for_the_head_the_rule_and_each_row() -> None:
    lines = markdown([FAST, FAST]).splitlines()
    assert len(lines) == 4
    assert all(line.count("|") == len(COLUMNS) + 1 for line in lines)


def test_json_says_whether_the_bar_is_met() -> None:
    assert as_json([FAST])[0]["met"] is True
    assert as_json([FAST])[0]["value"]["n"] == 9


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0123456, "0.0123"),
        (1.0, "1.00"),
        (16.0, "16"),
        (12.34, "12.3"),
        (12345.6, "12,346"),
    ],
)
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text
