from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from kdray.distill.fbce_mse import Method, Params
from kdray.net import Look


def sigmoid(z: float) -> float:
    return float(1 / (1 + np.exp(-z)))


def slowly(made: Any, alpha: float, T: float, gamma: float) -> tuple[float, float]:
    """Equations 4-6, label by label."""
    z_s, z_t, y = made.arrays()
    hard, soft, n = [], [], z_s.shape[1]
    for student, teacher, label in zip(z_s, z_t, y, strict=True):
        for i in range(n):
            p = sigmoid(student[i])
            hard.append(
                -((1 - p) ** gamma) * np.log(p) if i == label else -(p**gamma) * np.log(1 - p)
            )
        pairs = zip(student, teacher, strict=True)
        soft.append(T**2 / n * sum((sigmoid(s / T) - sigmoid(t / T)) ** 2 for s, t in pairs))
    return alpha * float(np.mean(hard)), (1 - alpha) * float(np.mean(soft))


@pytest.mark.parametrize(
    ("alpha", "T", "gamma"), [(0.5, 4.0, 2.0), (0.1, 1.0, 0.0), (0.9, 10.0, 3.0), (0.4, 2.5, 0.5)]
)
def test_the_terms_are_those_of_equations_4_to_6(
    alpha: float, T: float, gamma: float, batch: Any
) -> None:
    made = batch()
    terms = Method(Params(alpha=alpha, T=T, gamma=gamma))(*made.looks())
    hard, soft = slowly(made, alpha, T, gamma)
    assert terms["labels"].item() == pytest.approx(hard, rel=1e-10)
    assert terms["teacher"].item() == pytest.approx(soft, rel=1e-10)


def test_gamma_zero_is_the_plain_binary_cross_entropy(batch: Any) -> None:
    made = batch()
    terms = Method(Params(alpha=1, gamma=0))(*made.looks())
    targets = F.one_hot(made.labels, 4).double()
    expected = F.binary_cross_entropy_with_logits(made.student, targets)
    torch.testing.assert_close(terms["labels"], expected)


def test_a_higher_gamma_weighs_settled_labels_less(batch: Any) -> None:
    settled = Look(torch.tensor([[3.0, -3.0]]))
    losses = [
        float(Method(Params(gamma=gamma))(settled, settled, torch.tensor([0]))["labels"])
        for gamma in (0.0, 1.0, 2.0, 3.0)
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[3] < losses[0] / 1000


def test_a_student_equal_to_its_teacher_pays_for_the_labels_only(batch: Any) -> None:
    made = batch()
    terms = Method(Params())(Look(made.teacher), Look(made.teacher), made.labels)
    assert terms["teacher"].item() == 0


@pytest.mark.parametrize(
    "wrong", [{"alpha": -0.1}, {"alpha": 1.1}, {"T": 0}, {"gamma": -1}, {"kappa": 1.0}]
)
def test_settings_out_of_their_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Params.model_validate(wrong)
