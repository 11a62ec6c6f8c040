from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kdray import parts
from kdray.distill.soft_hard import Method, Params


def slowly(made: Any, T: float) -> tuple[float, float]:
    """Hard and soft loss, image by image, without T squared."""
    z_s, z_t, y = made.arrays()
    hard, soft = [], []
    for student, teacher, label in zip(z_s, z_t, y, strict=True):
        hard.append(np.log(np.exp(student).sum()) - student[label])
        p = np.exp(teacher / T) / np.exp(teacher / T).sum()
        q = np.exp(student / T) / np.exp(student / T).sum()
        soft.append(sum(p[k] * (np.log(p[k]) - np.log(q[k])) for k in range(len(p))))
    return float(np.mean(hard)), float(np.mean(soft))


@pytest.mark.parametrize("alpha", [0.4, 0.7])
@pytest.mark.parametrize("T", [5.0, 10.0, 15.0])
@pytest.mark.parametrize("squared", [True, False])
def test_the_terms_weigh_hard_and_soft_labels(
    alpha: float, T: float, squared: bool, batch: Any
) -> None:
    made = batch()
    hard, soft = slowly(made, T)
    terms = Method(Params(alpha=alpha, T=T, temperature_squared=squared))(*made.looks())
    assert terms["labels"].item() == pytest.approx(alpha * hard, rel=1e-10)
    expected = (1 - alpha) * soft * (T**2 if squared else 1)
    assert terms["teacher"].item() == pytest.approx(expected, rel=1e-8)


def test_a_search_tries_the_grid_of_the_paper() -> None:
    assert parts.searchable("soft_hard") == {
        "alpha": {"choices": [0.4, 0.7]},
        "T": {"choices": [5.0, 10.0, 15.0]},
    }
