from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from kdray.distill.dfkd import Method, Params
from kdray.net import Look
from kdray.saliency import Masking, saliency
from tests.distill.small import Lesson, make_lesson


def softmax(z: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    return shares


def masked(seen: Look, kind: str) -> np.ndarray:
    """The saliency, which has its own reference in test_saliency.py."""
    return saliency(seen, Masking(kappa=1.2, mask=kind)).detach().numpy()


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("norm", ["mean", "sum"])
def test_the_terms_are_those_of_equations_5_to_7(kind: str, norm: str) -> None:
    lesson = make_lesson()
    student, teacher, labels = lesson.student, lesson.teacher, lesson.labels
    far = hard = soft = 0.0
    for i, label in enumerate(labels.tolist()):
        p = softmax(student.logits[i].detach().numpy() / 6)
        q = softmax(teacher.logits[i].numpy() / 6)
        soft += 36 * sum(p * np.log(p / q))
        hard -= np.log(softmax(student.logits[i].detach().numpy())[label])
        apart = (masked(student, kind)[i] - masked(teacher, kind)[i]) ** 2
        far += apart.mean() if norm == "mean" else apart.sum()
    params = Params.model_validate({"kappa": 1.2, "mask": kind, "saliency_norm": norm})
    terms = Method(params)(*lesson)
    assert terms["saliency"].item() == pytest.approx(0.4 * far / 6, rel=1e-10)
    assert terms["teacher"].item() == pytest.approx(0.3 * soft / 6, rel=1e-10)
    assert terms["labels"].item() == pytest.approx(0.3 * hard / 6, rel=1e-10)


def test_the_hard_mask_of_the_paper_gives_no_gradient_at_all() -> None:
    lesson = make_lesson()
    term = Method(Params(mask="hard", kappa=1))(*lesson)["saliency"]
    assert term.item() > 0
    assert not term.requires_grad


@pytest.mark.parametrize("kind", ["soft", "straight_through"])
def test_the_masks_with_a_gradient_bring_saliency_closer(kind: str) -> None:
    lesson = make_lesson()
    method = Method(Params.model_validate({"mask": kind, "kappa": 1}))
    maps = {
        name: one.detach().clone().requires_grad_() for name, one in lesson.student.maps.items()
    }
    student = replace(lesson.student, maps=maps)
    optim = torch.optim.Adam(maps.values(), lr=0.1)
    terms = []
    for _ in range(30):
        optim.zero_grad()
        term = method(student, lesson.teacher, lesson.labels)["saliency"]
        term.backward()
        optim.step()
        terms.append(term.item())
    assert terms[-1] < terms[0] / 2


def test_a_student_equal_to_its_teacher_pays_for_the_labels_only() -> None:
    lesson = make_lesson()
    terms = Method(Params())(lesson.teacher, lesson.teacher, lesson.labels)
    assert terms["saliency"].item() == 0
    assert terms["teacher"].item() == pytest.approx(0, abs=1e-12)


def test_a_transformer_teaches_a_convolution() -> None:
    lesson = make_lesson()
    blocks = tuple(torch.rand(6, 4, 4, dtype=torch.float64) for _ in range(12))
    terms = Method(Params())(
        lesson.student, replace(lesson.teacher, attention=blocks), lesson.labels
    )
    (gradient,) = torch.autograd.grad(terms["saliency"], lesson.student.maps["texture"])
    assert gradient.abs().max() > 0


def test_the_defaults_are_the_papers_where_it_prints_them() -> None:
    params = Params()
    assert (params.alpha, params.beta, params.T) == (0.4, 0.3, 6)
    assert params.direction == "student_teacher"


@pytest.mark.parametrize("wrong", [{"alpha": 0.8, "beta": 0.3}, {"alpha": 0.8}, {"beta": 0.7}])
def test_weights_that_leave_less_than_nothing_to_the_labels_are_refused(
    wrong: dict[str, float],
) -> None:
    with pytest.raises(ValidationError, match=r"alpha \+ beta is 1\.1: above 1"):
        Params.model_validate(wrong)


def test_all_weight_may_lie_on_the_teacher() -> None:
    lesson = make_lesson()
    assert Method(Params(alpha=0.7, beta=0.3))(*lesson)["labels"].item() == pytest.approx(0)


def attending(lesson: Lesson) -> Look:
    """Return the teacher's look as that of a transformer of three blocks."""
    random = torch.Generator().manual_seed(3)
    blocks = torch.rand(3, 6, 4, 4, generator=random, dtype=torch.float64)
    return replace(lesson.teacher, maps={}, attention=tuple(blocks))


@pytest.mark.parametrize("kind", ["soft", "hard", "straight_through"])
@pytest.mark.parametrize("attends", [False, True])
def test_a_reduced_look_at_the_teacher_teaches_the_same(kind: str, attends: bool) -> None:
    lesson = make_lesson()
    seen = attending(lesson) if attends else lesson.teacher
    recorder = Method(Params())
    # What is recorded under one kappa, eta and tau serves all others.
    params = {"mask": kind, "kappa": 1.2, "kappa_attention": 0.1, "eta": 0.2, "tau": 2.0}
    method = Method(Params.model_validate(params))
    reduced = recorder.reduce(seen)
    whole = method(lesson.student, seen, lesson.labels)
    for name, term in method(lesson.student, reduced, lesson.labels).items():
        assert torch.equal(term, whole[name])
    assert not reduced.attention
    assert all(one.shape[1] in (1, 2) for one in reduced.maps.values())


@pytest.mark.parametrize("kind", ["hard", "straight_through"])
@pytest.mark.parametrize("attends", [False, True])
def test_bits_are_the_masks_of_one_kappa(kind: str, attends: bool) -> None:
    lesson = make_lesson()
    seen = attending(lesson) if attends else lesson.teacher
    params = {"mask": kind, "kappa": 1.2, "kappa_attention": 0.1, "record": "bits"}
    method = Method(Params.model_validate(params))
    reduced = method.reduce(seen)
    assert {one.dtype for one in reduced.maps.values()} == {torch.bool}
    whole = method(lesson.student, seen, lesson.labels)["saliency"].item()
    bits = method(lesson.student, reduced, lesson.labels)["saliency"].item()
    assert bits == pytest.approx(whole, rel=1e-12)


def test_bits_of_another_kappa_are_not_taken_for_these() -> None:
    lesson = make_lesson()
    params = {"mask": "hard", "record": "bits"}
    reduced = Method(Params.model_validate({**params, "kappa": 2})).reduce(lesson.teacher)
    with pytest.raises(KeyError):
        Method(Params.model_validate({**params, "kappa": 3}))(
            lesson.student, reduced, lesson.labels
        )


def test_soft_masks_have_no_bits() -> None:
    with pytest.raises(ValidationError, match="soft masks are no bits"):
        Params(record="bits")
