"""Kubernetes quantities, such as 4Gi or 500m, as numbers."""

from __future__ import annotations

from decimal import Decimal

_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}


def amount(quantity: str) -> Decimal:
    """Return a quantity as a number: bytes of memory or disk, or CPUs."""
    digits = quantity.rstrip("mkKMGTi")
    return Decimal(digits) * _FACTORS[quantity[len(digits) :]]


def mebibytes(size: Decimal) -> str:
    """Return bytes as a quantity, in whole Mi rounded down."""
    return f"{int(size / 2**20)}Mi"
