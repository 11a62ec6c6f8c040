"""The most memory that some work takes is measured, however short it holds it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kdray.bench._peak import peak_mb


def _factory(megabytes: int) -> dict[str, Callable[[], object]]:
    def hold() -> None:
        np.ones(megabytes * 125_000)  # float64

    return {"forward": lambda: None, "hold": hold, "again": hold}


def test_what_was_held_and_let_go_again_counts() -> None:
    assert 60 <= peak_mb(_factory, (64,), ("hold",)) < 90


def test_one_after_the_other_takes_no_more_than_one() -> None:
    assert peak_mb(_factory, (64,), ("hold", "again")) < 90
