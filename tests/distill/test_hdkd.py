from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kdray.distill.hdkd import Method, Params
from kdray.errors import ModelError
from kdray.learn import Live, Taught
from kdray.net import Look, Wants
from tests.distill.small import make_lesson, small_net


def softmax(z: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    return shares


def slowly(
    student: Look, teacher: Look, labels: torch.Tensor, params: Params
) -> tuple[float, float, float]:
    """Equations 6 and 7, image by image, with the heads as in the authors' code."""
    hard, soft, features, t = 0.0, 0.0, 0.0, params.T
    for i, label in enumerate(labels.tolist()):
        hard -= np.log(softmax(student.heads["class"][i].detach().numpy())[label])
        p = softmax(teacher.logits[i].numpy() / t)
        q = softmax(student.heads["distillation"][i].detach().numpy() / t)
        soft += t**2 * sum(p * np.log(p / q))
        for j in (1, 2, 3):
            ours = student.maps[f"stage{j}"][i].detach().numpy()
            apart = ((teacher.maps[f"stage{j}"][i].numpy() - ours) ** 2).sum()
            features += apart / np.prod(ours.shape) * j**params.exponent
    size = len(labels)
    return hard / size, soft / size, features / size


@pytest.mark.parametrize(
    "params",
    [Params(), Params(alpha=0.2, T=4.0, feature_weight=3.0, exponent=2.0), Params(exponent=0.0)],
)
def test_the_terms_are_those_of_equations_6_to_8(params: Params) -> None:
    lesson = make_lesson()
    hard, soft, features = slowly(lesson.student, lesson.teacher, lesson.labels, params)
    terms = Method(params)(*lesson)
    assert terms["labels"].item() == pytest.approx((1 - params.alpha) * hard, rel=1e-10)
    assert terms["teacher"].item() == pytest.approx(params.alpha * soft, rel=1e-10)
    assert terms["features"].item() == pytest.approx(params.feature_weight * features, rel=1e-10)


def test_the_paper_weighs_logits_by_a_half_at_temperature_one_and_maps_by_ten() -> None:
    params = Params()
    assert (params.alpha, params.T, params.feature_weight, params.exponent) == (0.5, 1, 10, 1)


def test_the_authors_divide_the_divergence_by_the_classes_as_well() -> None:
    lesson = make_lesson(classes=7)
    mean = Method(Params())(*lesson)["teacher"]
    both = Method(Params(normalise="batch_times_classes"))(*lesson)["teacher"]
    assert (mean / both).item() == pytest.approx(7, rel=1e-12)


def test_without_heads_both_terms_are_learnt_at_the_logits() -> None:
    lesson = make_lesson()
    bare = replace(lesson.student, heads={})
    logits = {name: bare.logits for name in ("class", "distillation")}
    terms = Method(Params())(bare, lesson.teacher, lesson.labels)
    expected = Method(Params())(replace(bare, heads=logits), lesson.teacher, lesson.labels)
    assert terms == expected


def test_the_heads_are_looked_at_where_the_student_has_them() -> None:
    stages = ("stage1", "stage2", "stage3")
    student, teacher = small_net(), small_net(seed=1)
    assert Method(Params()).wants(student, teacher) == (
        Wants(stages, ("class", "distillation")),
        Wants(stages),
    )
    assert Method(Params(which="mean")).wants(student, teacher)[0] == Wants(stages)
    assert Method(Params()).wants(replace(student, heads={}), teacher)[0] == Wants(stages)


def test_stages_of_other_shapes_are_refused_with_both_shapes() -> None:
    sample = torch.zeros(1, 1, 16, 16)
    with pytest.raises(ModelError, match=r"stage1 of the student is 4 x 8 x 8, .* 8 x 8 x 8"):
        Taught(Method(Params()), Live(small_net(seed=1, width=2)), small_net(), sample)


def test_equal_maps_cost_nothing() -> None:
    lesson = make_lesson()
    same = replace(lesson.teacher, maps=lesson.student.maps)
    assert Method(Params())(lesson.student, same, lesson.labels)["features"].item() == 0
