from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdray.errors import ModelError
from kdray.net import Look, Wants
from kdray.saliency import Masking, saliency, saliency_wants
from tests.distill.small import bare_net, make_lesson, small_net

LOGITS = torch.zeros(1, 2)


def mapped(texture: Tensor, shape: Tensor, side: int) -> Look:
    return Look(LOGITS, {"texture": texture, "shape": shape}, size=(side, side))


def attending(blocks: list[Tensor], side: int) -> Look:
    return Look(LOGITS, attention=tuple(blocks), size=(side, side))


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def mask(maps: np.ndarray, kappa: float, tau: float, kind: str) -> np.ndarray:
    """Equation 2 for one image [D, h, w], place by place."""
    mu, sigma = maps.mean(), np.sqrt(maps.var() + 1e-6)
    found = np.zeros(maps.shape[1:])
    for w in range(maps.shape[1]):
        for h in range(maps.shape[2]):
            top = max(maps[:, w, h])
            step = float(top > mu + kappa * sigma)
            found[w, h] = (
                step if kind == "hard" else sigmoid((top - mu - kappa * sigma) / tau / sigma)
            )
    return found


def on_grid(one: np.ndarray, side: int, kind: str) -> np.ndarray:
    """Resize a square by an even factor: bilinear between the centres, or the nearest place."""
    if kind == "hard":
        return np.repeat(np.repeat(one, side // len(one), 0), side // len(one), 1)
    at = np.clip((np.arange(side) + 0.5) * len(one) / side - 0.5, 0, len(one) - 1)
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, len(one) - 1), at - low
    rows = one[low] * (1 - share)[:, None] + one[high] * share[:, None]
    result: np.ndarray = rows[:, low] * (1 - share) + rows[:, high] * share
    return result


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_saliency_is_that_of_equations_2_and_4(kind: str) -> None:
    seen = make_lesson(size=3).teacher
    masking = Masking(kappa=1.5, eta=0.3, tau=0.7, mask=kind, grid=(8, 8))
    for i, found in enumerate(saliency(seen, masking).numpy()):
        early, late = (
            on_grid(mask(seen.maps[name][i].numpy(), 1.5, 0.7, kind), 8, kind)
            for name in ("texture", "shape")
        )
        np.testing.assert_allclose(found, 0.3 * early + 0.7 * late, rtol=1e-10)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_attention_is_averaged_over_the_first_and_the_last_third_of_the_blocks(kind: str) -> None:
    random = torch.Generator().manual_seed(0)
    blocks = [torch.rand(1, 4, 4, generator=random, dtype=torch.float64) / 16 for _ in range(7)]
    masking = Masking(kappa=9.0, kappa_attention=0.2, eta=0.6, tau=0.5, mask=kind)
    found = saliency(attending(blocks, 32), masking)[0].numpy()
    early = torch.stack(blocks[:2]).mean(0).numpy() * 16
    late = torch.stack(blocks[5:]).mean(0).numpy() * 16
    expected = [on_grid(mask(one, 0.2, 0.5, kind), 8, kind) for one in (early, late)]
    np.testing.assert_allclose(found, 0.6 * expected[0] + 0.4 * expected[1], rtol=1e-10)


def test_the_grid_is_a_quarter_of_the_image() -> None:
    for side in (32, 224):
        seen = mapped(torch.randn(2, 3, 8, 8), torch.randn(2, 3, 2, 2), side)
        assert saliency(seen).shape == (2, side // 4, side // 4)


@pytest.mark.parametrize("kind", ["soft", "hard", "straight_through"])
def test_saliency_lies_between_0_and_1(kind: str) -> None:
    seen = make_lesson(dtype=torch.float32, scale=100).student
    found = saliency(seen, Masking(mask=kind))
    assert found.min() >= 0
    assert found.max() <= 1


def test_scale_and_offset_of_the_activations_do_not_matter() -> None:
    seen = make_lesson().teacher
    other = mapped(*(seen.maps[name] * 50 - 9 for name in ("texture", "shape")), side=16)
    torch.testing.assert_close(saliency(other), saliency(seen), rtol=1e-4, atol=1e-5)


def test_straight_through_has_hard_values_and_the_soft_gradient() -> None:
    found, gradient = {}, {}
    for kind in ("hard", "soft", "straight_through"):
        lesson = make_lesson(size=2)
        texture = lesson.student.maps["texture"]
        found[kind] = saliency(lesson.student, Masking(kappa=1, mask=kind, grid=(8, 8), eta=1))
        if kind != "hard":
            (gradient[kind],) = torch.autograd.grad(found[kind].sum(), texture)
    assert not found["hard"].requires_grad
    torch.testing.assert_close(found["straight_through"], found["hard"])
    torch.testing.assert_close(gradient["straight_through"], gradient["soft"])


def test_a_blank_image_gives_no_infinite_gradient() -> None:
    texture = torch.zeros(1, 4, 8, 8, requires_grad=True)
    seen = mapped(texture, torch.zeros(1, 4, 2, 2, requires_grad=True), 32)
    saliency(seen).sum().backward()
    assert texture.grad is not None
    assert torch.isfinite(texture.grad).all()


def test_maps_are_looked_at_before_attention_and_tokens_never_as_maps() -> None:
    assert saliency_wants(small_net(), "here") == Wants(("texture", "shape"))
    assert saliency_wants(small_net(attends=True), "here") == Wants(attention=True)


def test_a_net_without_either_is_refused() -> None:
    with pytest.raises(ModelError, match="here: has neither the maps texture and shape nor"):
        saliency_wants(bare_net(), "here")
