"""Quantities of Kubernetes as numbers."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kdray.spec.quantity import amount, mebibytes


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        ("4Gi", 4 * 1024**3),
        ("500m", Decimal("0.5")),
        ("1.5G", 1_500_000_000),
        ("12", 12),
        ("3k", 3000),
        ("7Ki", 7168),
        ("2M", 2_000_000),
        ("1Mi", 1_048_576),
        ("1T", 10**12),
        ("1Ti", 2**40),
    ],
)
def test_a_quantity_is_its_digits_times_its_unit(quantity: str, number: int | Decimal) -> None:
    assert amount(quantity) == number


def test_bytes_are_written_in_whole_mebibytes() -> None:
    assert mebibytes(Decimal(3 * 2**20 + 5)) == "3Mi"
