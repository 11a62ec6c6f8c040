"""Numbers as text, and tables as Markdown, CSV and plain data."""

from __future__ import annotations

import csv
import io

import pytest

from kdray.report import cells, text
from kdray.report.cells import Cell, Column, Table


def test_an_interval_shows_mean_and_both_ends() -> None:
    found = {"mean": 0.9126, "low": 0.8871, "high": 0.9389}
    assert cells.interval(found).text == "0.913 [0.887, 0.939]"


def test_a_difference_shows_its_sign() -> None:
    found = {"mean": 0.02, "low": -0.011, "high": 0.051}
    assert cells.interval(found, sign=True).text == "+0.020 [-0.011, +0.051]"


def test_a_mean_without_ends_stands_alone() -> None:
    assert cells.interval({"mean": 0.5, "low": None, "high": None}).text == "0.500"


@pytest.mark.parametrize("found", [None, {}, {"mean": None}, {"mean": float("nan")}])
def test_what_was_not_measured_is_not_available(found: dict[str, float] | None) -> None:
    assert cells.interval(found) == Cell("n/a")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(11178564, "11.2 M"), (1.82e9, "1.82 G"), (392836, "393 k"), (812, "812"), (None, "n/a")],
)
def test_large_numbers_have_three_digits_and_a_prefix(value: float | None, shown: str) -> None:
    assert cells.large(value).text == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.00042, "<0.001"), (0.0214, "0.021"), (1.0, "1.000"), (None, "n/a")]
)
def test_a_small_p_value_is_given_as_a_bound(value: float | None, shown: str) -> None:
    assert cells.p_value(value).text == shown


def test_significant_digits_never_become_powers_of_ten() -> None:
    assert [cells.significant(x) for x in (1234567.0, 28.456, 0.1234)] == [
        "1,234,567",
        "28.5",
        "0.123",
    ]


def test_markdown_escapes_what_would_be_markup() -> None:
    shown = text.markdown(Table("t", "T", (Column("a", "A"),), ((Cell("a|b <i> *c*"),),)))
    assert r"| a\|b \<i\> \*c\* |" in shown


def test_csv_gives_an_interval_three_columns_in_full_precision() -> None:
    table = Table(
        "t",
        "T",
        (Column("label", "L"), Column("auc", "AUC", numeric=True, interval=True)),
        ((Cell("a, b", "a, b"), Cell("0.333", 1 / 3, 0.1, 0.5)), (Cell("c", "c"), Cell("n/a"))),
    )
    rows = list(csv.DictReader(io.StringIO(text.to_csv(table))))
    assert rows == [
        {"label": "a, b", "auc": repr(1 / 3), "auc_low": "0.1", "auc_high": "0.5"},
        {"label": "c", "auc": "", "auc_low": "", "auc_high": ""},
    ]


def test_plain_data_keeps_the_numbers() -> None:
    table = Table("t", "T", (Column("n", "N"),), ((Cell("1,311", 1311),),), ("A note.",))
    assert text.to_dict(table) == {"title": "T", "rows": [{"n": 1311}], "notes": ["A note."]}
