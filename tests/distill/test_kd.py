from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from kdray.distill.kd import Method, Params
from kdray.net import Look


def softmax(z: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    return shares


@pytest.mark.parametrize(("alpha", "T"), [(0.5, 4.0), (0.1, 1.0), (0.9, 10.0), (0.3, 0.5)])
def test_the_terms_are_those_of_equation_1(alpha: float, T: float, batch: Any) -> None:
    made = batch()
    z_s, z_t, y = made.arrays()
    hard, soft = 0.0, 0.0
    for student, teacher, label in zip(z_s, z_t, y, strict=True):
        hard -= np.log(softmax(student)[label])
        for p, q in zip(softmax(teacher / T), softmax(student / T), strict=True):
            soft += p * np.log(p / q)
    terms = Method(Params(alpha=alpha, T=T))(*made.looks())
    assert terms["labels"].item() == pytest.approx(alpha * hard / len(y), rel=1e-10)
    assert terms["teacher"].item() == pytest.approx((1 - alpha) * T**2 * soft / len(y), rel=1e-10)


def test_a_student_equal_to_its_teacher_pays_for_the_labels_only(batch: Any) -> None:
    made = batch()
    terms = Method(Params())(Look(made.teacher), Look(made.teacher), made.labels)
    assert terms["teacher"].item() == pytest.approx(0, abs=1e-12)


def test_the_divergence_is_from_the_teacher_to_the_student() -> None:
    # KL((1, 0) || (1/2, 1/2)) = log 2; the other way round it would be infinite.
    sure, unsure = torch.tensor([[1000.0, 0.0]]), torch.zeros(1, 2)
    terms = Method(Params(alpha=0, T=1))(Look(unsure), Look(sure), torch.tensor([0]))
    assert terms["teacher"].item() == pytest.approx(np.log(2), rel=1e-6)


def test_the_gradient_towards_the_teacher_keeps_its_size_when_T_grows(batch: Any) -> None:
    # Hinton et al.: for large T the gradient goes to (z_s - z_t) / C, both centred, whatever T is.
    made = batch(size=1)
    terms = Method(Params(alpha=0, T=100))(*made.looks())
    (gradient,) = torch.autograd.grad(terms["teacher"], made.student)
    apart = made.student - made.teacher
    expected = (apart - apart.mean()) / 4
    torch.testing.assert_close(gradient, expected.detach(), rtol=0.1, atol=0.02)


def test_divided_by_batch_and_classes_it_is_smaller_by_the_number_of_classes(batch: Any) -> None:
    for classes in (2, 4, 7):
        made = batch(classes=classes)
        mean = Method(Params())(*made.looks())["teacher"]
        both = Method(Params(normalise="batch_times_classes"))(*made.looks())["teacher"]
        assert (mean / both).item() == pytest.approx(classes, rel=1e-12)


def test_the_other_direction_is_the_divergence_that_dfkd_prints(batch: Any) -> None:
    made = batch()
    z_s, z_t, _ = made.arrays()
    p, q = softmax(z_s / 3), softmax(z_t / 3)
    expected = 9 * (p * np.log(p / q)).sum(1).mean()
    params = Params(alpha=0, T=3, direction="student_teacher")
    assert Method(params)(*made.looks())["teacher"].item() == pytest.approx(expected, rel=1e-10)


def test_the_labels_can_be_learnt_by_binary_cross_entropy(batch: Any) -> None:
    made = batch()
    z, _, y = made.arrays()
    truth = np.eye(4)[y]
    p = 1 / (1 + np.exp(-z))
    expected = -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean()
    terms = Method(Params(alpha=1, labels="bce"))(*made.looks())
    assert terms["labels"].item() == pytest.approx(expected, rel=1e-10)


def test_alpha_one_learns_from_the_labels_alone(batch: Any) -> None:
    made = batch()
    assert Method(Params(alpha=1))(*made.looks())["teacher"].item() == 0


@pytest.mark.parametrize(
    "wrong", [{"alpha": -0.1}, {"alpha": 1.1}, {"T": 0}, {"T": -1}, {"beta": 0.5}]
)
def test_settings_out_of_their_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Params.model_validate(wrong)
