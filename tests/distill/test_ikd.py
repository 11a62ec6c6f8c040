from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kdray.distill.ikd import Method, Params
from kdray.errors import ModelError
from kdray.learn import Batch, Live, Taught
from kdray.net import Look, Tap, Wants
from tests.distill.small import bare_net, make_lesson, small_net


def softmax(z: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    return shares


def made(params: Params, student: Look, teacher: Look) -> Method:
    method = Method(params)
    method.wants(small_net(), small_net())
    torch.manual_seed(0)
    method.adapted = method.adapters(student, teacher).double()
    return method


@pytest.mark.parametrize(("alpha", "T", "weight", "stages"), [(0.5, 4, 1, 3), (0.1, 2, 5, 1)])
def test_the_terms_are_those_of_the_equation(
    alpha: float, T: float, weight: float, stages: int
) -> None:
    lesson = make_lesson()
    student, teacher = lesson.student, lesson.teacher
    params = Params(alpha=alpha, T=T, feature_weight=weight, stages=stages)
    method = made(params, student, teacher)
    state = {key: value.numpy() for key, value in method.adapted.state_dict().items()}  # type: ignore[union-attr]
    names = ["stage1", "stage2", "stage3"][-stages:]
    apart = []
    for index, name in enumerate(names):
        ours = student.maps[name].detach().numpy()
        weights, bias = state[f"stages.{index}.weight"][:, :, 0, 0], state[f"stages.{index}.bias"]
        adapted = np.einsum("od,bdhw->bohw", weights, ours) + bias[None, :, None, None]
        apart.append(((adapted - teacher.maps[name].numpy()) ** 2).mean())
    hard = soft = 0.0
    for i, label in enumerate(lesson.labels.tolist()):
        z = student.logits[i].detach().numpy()
        p, q = softmax(teacher.logits[i].numpy() / T), softmax(z / T)
        hard -= np.log(softmax(z)[label])
        soft += T**2 * sum(p * np.log(p / q))
    terms = method(*lesson)
    assert terms["labels"].item() == pytest.approx(alpha * hard / 6, rel=1e-10)
    assert terms["teacher"].item() == pytest.approx((1 - alpha) * soft / 6, rel=1e-10)
    assert terms["features"].item() == pytest.approx(weight * np.mean(apart), rel=1e-10)


def test_maps_of_other_sizes_are_averaged_onto_the_smaller_grid() -> None:
    lesson = make_lesson()
    large = torch.randn(6, 5, 4, 4, dtype=torch.float64)
    maps = dict(lesson.teacher.maps) | {"stage3": large}
    small = large.reshape(6, 5, 2, 2, 2, 2).mean((3, 5))
    params = Params(stages=1)
    both = [replace(lesson.teacher, maps=dict(maps) | {"stage3": one}) for one in (large, small)]
    terms = [made(params, lesson.student, one)(lesson.student, one, lesson.labels) for one in both]
    torch.testing.assert_close(terms[0]["features"], terms[1]["features"])


def test_stages_are_paired_from_the_last_backwards() -> None:
    student, teacher = small_net(), small_net()
    taps = dict(teacher.taps) | {"stage4": Tap("final")}
    wants = Method(Params(stages=2)).wants(student, replace(teacher, taps=taps))
    assert wants == (Wants(("stage2", "stage3")), Wants(("stage3", "stage4")))


def test_a_wider_teacher_is_reached_through_the_adapters() -> None:
    student, teacher = small_net(), small_net(width=2)
    taught = Taught(Method(Params()), Live(teacher), student, torch.zeros(1, 1, 16, 16))
    shapes = [tuple(one.shape) for one in taught.adapters.parameters() if one.ndim == 4]  # type: ignore[union-attr]
    assert shapes == [(8, 4, 1, 1), (12, 6, 1, 1), (16, 8, 1, 1)]
    terms = taught(student, Batch(torch.randn(2, 1, 16, 16), torch.tensor([0, 1])))
    terms["features"].backward()
    for one in (*taught.adapters.parameters(), student.module.stages[0][0].weight):  # type: ignore[union-attr, index]
        assert one.grad is not None
        assert one.grad.abs().max() > 0


def test_the_same_seed_gives_the_same_adapters() -> None:
    sample = torch.zeros(1, 1, 16, 16)
    first, again, other = (
        Taught(Method(Params()), Live(small_net()), small_net(), sample, seed).adapters
        for seed in (4, 4, 5)
    )
    assert first is not None
    assert again is not None
    assert other is not None
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    assert not torch.equal(
        first.state_dict()["stages.0.weight"], other.state_dict()["stages.0.weight"]
    )


def test_a_net_without_stages_is_refused() -> None:
    with pytest.raises(ModelError, match="the student has no stages"):
        Method(Params()).wants(bare_net(), small_net())
