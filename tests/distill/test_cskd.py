from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kdray.distill.cskd import Method, Params
from kdray.errors import ModelError
from kdray.net import Wants
from tests.distill.small import Lesson, make_lesson, small_net


def log_softmax(z: np.ndarray) -> np.ndarray:
    shares: np.ndarray = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return shares


def distance(ours: np.ndarray, theirs: np.ndarray, params: Params) -> float:
    """Hard or soft distance of one row of logits."""
    if params.distillation == "hard":
        return -float(log_softmax(ours)[int(np.argmax(theirs))])
    p, q = log_softmax(theirs / params.T), log_softmax(ours / params.T)
    return params.T**2 * float((np.exp(p) * (p - q)).sum())


def slowly(lesson: Lesson, params: Params, progress: float) -> tuple[float, float, float]:
    """Labels, heads and places, image by image and place by place."""
    hard, heads, places = [], [], []
    for i, label in enumerate(lesson.labels.tolist()):
        ours = {name: one[i].detach().numpy() for name, one in lesson.student.heads.items()}
        whole = lesson.teacher.logits[i].numpy()
        hard.append(-log_softmax(ours["class"])[label])
        heads.append(distance(ours["distillation"], whole, params))
        mine = lesson.student.dense[i].detach().numpy()  # type: ignore[index]
        theirs = lesson.teacher.dense[i].numpy()  # type: ignore[index]
        for row in range(2):
            for column in range(2):
                patch = mine[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((1, 2))
                target = (1 - progress) * theirs[:, row, column] + progress * whole
                places.append(distance(patch, target, params))
    return float(np.mean(hard)), float(np.mean(heads)), float(np.mean(places))


@pytest.mark.parametrize("progress", [0.0, 0.3, 0.95])
@pytest.mark.parametrize(
    "params",
    [
        Params(),
        Params(distillation="soft", T=3.0, alpha=0.2, spatial_weight=0.4),
    ],
)
def test_the_terms_are_those_of_the_equation(params: Params, progress: float) -> None:
    lesson = make_lesson()
    method = Method(params)
    method.begin(progress)
    hard, heads, places = slowly(lesson, params, progress)
    terms = method(*lesson)
    assert terms["labels"].item() == pytest.approx((1 - params.alpha) * hard, rel=1e-10)
    assert terms["teacher"].item() == pytest.approx(params.alpha * heads, rel=1e-10)
    assert terms["spatial"].item() == pytest.approx(params.spatial_weight * places, rel=1e-10)


def test_in_the_end_each_place_is_taught_the_whole_image() -> None:
    lesson = make_lesson()
    method = Method(Params(distillation="soft"))
    method.begin(1.0)
    dense = lesson.teacher.logits[:, :, None, None].expand(-1, -1, 2, 2)
    taught = replace(lesson.student, dense=dense)
    assert method(taught, lesson.teacher, lesson.labels)["spatial"].item() == pytest.approx(0)


def test_the_divergence_of_the_places_is_divided_by_the_classes_when_asked() -> None:
    lesson = make_lesson(classes=5)
    for term in ("teacher", "spatial"):
        mean, both = (
            Method(Params.model_validate({"distillation": "soft", "normalise": name}))(*lesson)[
                term
            ]
            for name in ("batch_mean", "batch_times_classes")
        )
        assert (mean / both).item() == pytest.approx(5, rel=1e-12)


def test_heads_and_dense_logits_are_looked_at() -> None:
    student, teacher = small_net(), small_net(seed=1)
    heads = ("class", "distillation")
    expected = (Wants(heads=heads, dense=True), Wants(dense=True))
    assert Method(Params()).wants(student, teacher) == expected
    assert Method(Params()).wants(replace(student, heads={}), teacher)[0] == Wants(dense=True)


def test_a_teacher_with_layers_between_map_and_classifier_is_refused() -> None:
    teacher = replace(small_net(), classifier="")
    with pytest.raises(ModelError, match="the teacher cannot classify single places"):
        Method(Params()).wants(small_net(), teacher)


def test_the_dense_logits_of_the_teacher_have_its_logits_as_their_mean() -> None:
    from kdray.net import look

    teacher = small_net()
    teacher.module.eval()
    seen = look(teacher, torch.randn(2, 1, 16, 16), Wants(heads=("class",), dense=True))
    assert seen.dense is not None
    torch.testing.assert_close(seen.dense.mean((2, 3)), seen.heads["class"])
