"""What every method on logits must hold, whatever its equation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kdray import parts
from kdray.net import Look

NEEDS = {name: parts.header("distill", name).constants["NEEDS"] for name in parts.names("distill")}
METHODS = [name for name, needs in NEEDS.items() if set(needs) <= {"logits"}]
TAUGHT = [name for name in METHODS if NEEDS[name]]


def method(name: str, **params: Any) -> Callable[..., dict[str, Tensor]]:
    module = parts.load("distill", name)
    made: Callable[..., dict[str, Tensor]] = module.Method(module.Params(**params))
    return made


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


@pytest.mark.parametrize("name", METHODS)
def test_the_gradient_of_the_loss_is_that_of_finite_differences(name: str, batch: Any) -> None:
    made = batch(size=3)
    loss = method(name)

    def value(student: Tensor) -> Tensor:
        return total(loss(Look(student), Look(made.teacher), made.labels))

    assert torch.autograd.gradcheck(value, (made.student,))


@pytest.mark.parametrize("name", METHODS)
def test_each_term_alone_moves_the_student(name: str, batch: Any) -> None:
    made = batch()
    for term, value in method(name)(*made.looks()).items():
        (gradient,) = torch.autograd.grad(value, made.student, retain_graph=True)
        assert gradient.abs().max() > 1e-6, term


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("value", [100.0, -100.0])
def test_logits_of_a_hundred_stay_finite(name: str, value: float) -> None:
    student = torch.full((2, 3), -value)
    student[:, 0] = value
    student.requires_grad_()
    teacher = -student.detach()
    for labels in (torch.tensor([0, 0]), torch.tensor([1, 2])):
        loss = total(method(name)(Look(student), Look(teacher), labels))
        (gradient,) = torch.autograd.grad(loss, student)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_counts_as_the_mean_of_its_images(name: str, batch: Any) -> None:
    made = batch(size=5)
    loss = method(name)
    together = loss(*made.looks())
    alone = [
        loss(Look(made.student[i : i + 1]), Look(made.teacher[i : i + 1]), made.labels[i : i + 1])
        for i in range(5)
    ]
    for term, value in together.items():
        assert value.ndim == 0
        torch.testing.assert_close(value, torch.stack([one[term] for one in alone]).mean())


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_of_one_class_is_no_special_case(name: str, batch: Any) -> None:
    made = batch()
    loss = total(method(name)(Look(made.student), Look(made.teacher), torch.full((6,), 2)))
    (gradient,) = torch.autograd.grad(loss, made.student)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_give_a_finite_float32_loss(
    name: str, dtype: torch.dtype, batch: Any
) -> None:
    made = batch(dtype=torch.float32, scale=8.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = method(name)(
            Look(made.student.to(dtype)), Look(made.teacher.to(dtype)), made.labels
        )
    exact = method(name)(*made.looks())
    for term, value in terms.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[term], rtol=0.05, atol=0.05)
    total(terms).backward()
    assert torch.isfinite(made.student.grad).all()


@pytest.mark.parametrize("name", TAUGHT)
def test_the_teacher_gets_no_gradient(name: str, batch: Any) -> None:
    made = batch()
    teacher = made.teacher.clone().requires_grad_()
    total(method(name)(Look(made.student), Look(teacher), made.labels)).backward()
    assert teacher.grad is None


@pytest.mark.parametrize("name", TAUGHT)
def test_without_a_teacher_the_error_names_the_method(name: str, batch: Any) -> None:
    made = batch()
    with pytest.raises(Exception, match=f"method {name}: needs a teacher"):
        method(name)(Look(made.student), None, made.labels)
