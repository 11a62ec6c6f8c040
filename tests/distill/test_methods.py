"""What every method must hold, whatever its equation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdray import parts
from kdray.distill import DistillationMethod
from kdray.errors import ModelError
from kdray.learn import Batch, Live, Taught, World
from kdray.net import Look
from tests.distill.small import Lesson, bare_net, leaves, make_lesson, small_net, with_leaves

NEEDS = {name: parts.header("distill", name).constants["NEEDS"] for name in parts.names("distill")}
METHODS = list(NEEDS)
TAUGHT = [name for name in METHODS if NEEDS[name]]
LOOKING = [name for name in METHODS if not set(NEEDS[name]) <= {"logits"}]
WITH_T = [name for name in METHODS if "T" in parts.header("distill", name).Params.model_fields]
Loss = Callable[..., dict[str, Tensor]]


def method(name: str, lesson: Lesson | None = None, **params: Any) -> Loss:
    """Return a method with its adapters, double as the looks are."""
    module = parts.load("distill", name)
    made: DistillationMethod = module.Method(module.Params(**params))
    lesson = lesson or make_lesson()
    made.wants(small_net(), small_net())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapters = made.adapters(lesson.student, lesson.teacher)
    made.adapted = None if adapters is None else adapters.to(lesson.student.logits.dtype)
    return made


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def gradients(value: Tensor, lesson: Lesson) -> dict[str, Tensor]:
    """Return the gradient of a value for each leaf of the student that it depends on."""
    named = lesson.leaves()
    found = torch.autograd.grad(value, list(named.values()), retain_graph=True, allow_unused=True)
    return {name: one for name, one in zip(named, found, strict=True) if one is not None}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_one_that_the_trainer_knows(name: str) -> None:
    assert isinstance(method(name), DistillationMethod)


@pytest.mark.parametrize("name", METHODS)
def test_the_gradient_of_the_loss_is_that_of_finite_differences(name: str) -> None:
    lesson = make_lesson(size=2, classes=3)
    loss = method(name, lesson)
    used = list(gradients(total(loss(*lesson)), lesson))

    def value(*tensors: Tensor) -> Tensor:
        named = lesson.leaves() | dict(zip(used, tensors, strict=True))
        return total(loss(with_leaves(lesson.student, named), lesson.teacher, lesson.labels))

    at = tuple(lesson.leaves()[name] for name in used)
    assert torch.autograd.gradcheck(value, at, fast_mode=True)


@pytest.mark.parametrize("name", METHODS)
def test_each_term_alone_moves_the_student(name: str) -> None:
    lesson = make_lesson()
    for term, value in method(name)(*lesson).items():
        assert max(one.abs().max() for one in gradients(value, lesson).values()) > 1e-6, term


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("value", [100.0, -100.0])
def test_logits_of_a_hundred_stay_finite(name: str, value: float) -> None:
    lesson = make_lesson(size=2, classes=3)
    student = extreme(lesson.student, value)
    teacher = extreme(lesson.teacher, -value)
    for leaf in leaves(student).values():
        leaf.requires_grad_()
    for labels in (torch.tensor([0, 0]), torch.tensor([1, 2])):
        made = Lesson(student, teacher, labels)
        loss = total(method(name)(*made))
        assert torch.isfinite(loss)
        assert all(torch.isfinite(one).all() for one in gradients(loss, made).values())


def extreme(one: Look, value: float) -> Look:
    """Return the look with logits of ``value`` for the first class and ``-value`` for others."""
    named = {name: leaf.detach().clone() for name, leaf in leaves(one).items()}
    for name, leaf in named.items():
        if name in ("logits", "dense") or name.startswith("head"):
            leaf[:] = -value
            leaf[:, 0] = value
    return with_leaves(one, named)


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_counts_as_the_mean_of_its_images(name: str) -> None:
    lesson = make_lesson(size=5)
    loss = method(name, lesson)
    alone = [loss(*lesson.image(i)) for i in range(5)]
    for term, value in loss(*lesson).items():
        assert value.ndim == 0
        torch.testing.assert_close(value, torch.stack([one[term] for one in alone]).mean())


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_of_one_class_is_no_special_case(name: str) -> None:
    lesson = make_lesson()
    made = Lesson(lesson.student, lesson.teacher, torch.full((6,), 2))
    loss = total(method(name)(*made))
    assert torch.isfinite(loss)
    assert all(torch.isfinite(one).all() for one in gradients(loss, made).values())


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_looks_give_a_finite_float32_loss(name: str, dtype: torch.dtype) -> None:
    lesson = make_lesson(dtype=torch.float32, scale=8.0)
    halves = [
        with_leaves(one, {key: leaf.to(dtype) for key, leaf in leaves(one).items()})
        for one in (lesson.student, lesson.teacher)
    ]
    loss = method(name, lesson)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = loss(*halves, lesson.labels)
    exact = loss(*lesson)
    for term, value in terms.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[term], rtol=0.05, atol=0.05)
    for one in gradients(total(terms), lesson).values():
        assert torch.isfinite(one).all()


@pytest.mark.parametrize("name", TAUGHT)
def test_the_teacher_gets_no_gradient(name: str) -> None:
    lesson = make_lesson()
    for leaf in leaves(lesson.teacher).values():
        leaf.requires_grad_()
    total(method(name)(*lesson)).backward()
    assert all(leaf.grad is None for leaf in leaves(lesson.teacher).values())


@pytest.mark.parametrize("name", TAUGHT)
def test_without_a_teacher_the_error_names_the_method(name: str) -> None:
    lesson = make_lesson()
    with pytest.raises(ModelError, match=f"method {name}: needs a teacher"):
        method(name)(lesson.student, None, lesson.labels)


@pytest.mark.parametrize("name", METHODS)
def test_a_small_step_down_the_gradient_lowers_the_loss(name: str) -> None:
    lesson = make_lesson()
    loss = method(name)
    before = total(loss(*lesson))
    step = gradients(before, lesson)
    moved = {key: leaf - 1e-3 * step.get(key, 0) for key, leaf in lesson.leaves().items()}
    after = total(loss(with_leaves(lesson.student, moved), lesson.teacher, lesson.labels))
    assert after.item() < before.item()


@pytest.mark.parametrize("name", METHODS)
def test_the_gradient_pulls_towards_the_labels(name: str) -> None:
    # A teacher that is right as well: every term on logits must then raise the true class's.
    lesson = make_lesson()
    truth = nn.functional.one_hot(lesson.labels, 4).double() * 40 - 20
    right = leaves(lesson.teacher) | {"logits": truth, "head class": truth}
    right |= {"dense": truth[:, :, None, None].expand(-1, -1, 2, 2)}
    teacher = with_leaves(lesson.teacher, right)
    loss = total(method(name)(lesson.student, teacher, lesson.labels))
    pulled = 0
    for key, gradient in gradients(loss, lesson).items():
        if key in ("logits", "dense") or key.startswith("head"):
            assert (gradient[torch.arange(6), lesson.labels] < 0).all(), key
            pulled += 1
    assert pulled > 0


@pytest.mark.parametrize("name", WITH_T)
def test_the_temperature_divides_logits(name: str) -> None:
    # Were probabilities kept, T could not be changed afterwards: T = 3 on logits is T = 1 on a
    # third of them, times T squared.
    lesson = make_lesson()
    softer = [
        with_leaves(one, {key: leaf / 3 for key, leaf in leaves(one).items()})
        for one in (lesson.student, lesson.teacher)
    ]
    soft = {"distillation": "soft"} if name == "cskd" else {}
    at_three = method(name, T=3.0, **soft)(*lesson)["teacher"]
    at_one = method(name, T=1.0, **soft)(*softer, lesson.labels)["teacher"]
    torch.testing.assert_close(at_three, 9 * at_one)


@pytest.mark.parametrize("name", TAUGHT)
@pytest.mark.parametrize("attends", [False, True])
def test_one_step_moves_the_student_once_and_the_teacher_not_at_all(
    name: str, attends: bool
) -> None:
    student, teacher = small_net(seed=1), small_net(seed=2, attends=attends)
    teacher.module.train()
    before = {key: value.clone() for key, value in teacher.module.state_dict().items()}
    module = parts.load("distill", name)
    taught = Taught(
        module.Method(module.Params()), Live(teacher), student, torch.zeros(1, 1, 16, 16), seed=0
    )
    taught.spread(World())
    student.module.train()
    terms = taught(student, Batch(torch.randn(3, 1, 16, 16), torch.tensor([0, 3, 3])))
    total(dict(terms)).backward()
    moved = [one for one in student.module.parameters() if one.grad is not None]
    assert any(one.grad.abs().max() > 0 for one in moved if one.grad is not None)
    counts = [one for one in student.module.modules() if isinstance(one, nn.BatchNorm2d)]
    assert [int(one.num_batches_tracked or 0) for one in counts] == [1, 1, 1]
    assert not teacher.module.training
    for key, value in teacher.module.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("name", METHODS)
def test_a_step_in_bfloat16_is_finite(name: str) -> None:
    student, teacher = small_net(seed=1), small_net(seed=2)
    module = parts.load("distill", name)
    taught = Taught(
        module.Method(module.Params()), Live(teacher), student, torch.zeros(1, 1, 16, 16)
    )
    with torch.autocast("cpu", torch.bfloat16):
        terms = taught(student, Batch(torch.randn(1, 1, 16, 16), torch.tensor([1])))
    loss = total(dict(terms))
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    for one in student.module.parameters():
        assert one.grad is None or torch.isfinite(one.grad).all()


@pytest.mark.parametrize("name", LOOKING)
def test_nets_that_lack_what_is_looked_at_are_refused_with_the_methods_name(name: str) -> None:
    module = parts.load("distill", name)
    made = module.Method(module.Params())
    for student, teacher in ((bare_net(), small_net()), (small_net(), bare_net())):
        with pytest.raises(ModelError, match=f"method {name}"):
            made.wants(student, teacher)


@pytest.mark.parametrize("name", LOOKING)
def test_what_a_method_looks_at_is_refused_without_a_teacher(name: str) -> None:
    module = parts.load("distill", name)
    with pytest.raises(ModelError, match=f"method {name}: needs a teacher"):
        module.Method(module.Params()).wants(small_net(), None)
