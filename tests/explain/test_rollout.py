from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.explain import Subject, explain_with
from kdray.explain.rollout import Params, explain
from kdray.models import build_model
from kdray.models.timm import Params as TimmParams
from kdray.models.timm import build
from kdray.net import Attention, Net

CLASSES = torch.tensor([[0], [1]])


def pixels(size: int) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def lively(net: Net) -> Net:
    """Give all weights a size at which attention is far from uniform."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in net.module.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 2 / weight[0].numel() ** 0.5, generator=random)
    return net


def vit(arch: str, depth: int = 3) -> Net:
    params = TimmParams(arch=arch, args={"depth": depth})
    return lively(build(params, channels=3, classes=3, image_size=48))


def raw(net: Net, size: int) -> Tensor:
    return torch.from_numpy(explain(Params(), Subject(net), pixels(size), CLASSES).maps)


def by_hand(net: Net, size: int) -> np.ndarray:
    """Return R = A_L ... A_1 of each image, from the softmax that the blocks themselves form."""
    taken: list[np.ndarray] = []
    blocks: list[Any] = [part for part in net.module.modules() if hasattr(part, "fused_attn")]
    for block in blocks:
        block.fused_attn = False
        block.attn_drop.register_forward_hook(
            lambda _m, inputs, _o: taken.append(inputs[0].double().numpy())
        )
    with torch.no_grad():
        net.module.eval()(pixels(size))
    rolled = np.eye(taken[0].shape[-1])
    for weights in taken:
        rolled = (0.5 * weights.mean(1) + 0.5 * np.eye(weights.shape[-1])) @ rolled
    return rolled


def test_rollout_is_the_class_tokens_row_of_the_product_over_all_blocks() -> None:
    net = vit("deit_tiny_patch16_224")
    found = raw(net, 48)
    expected = by_hand(net, 48)[:, 0, 1:].reshape(2, 1, 3, 3)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)
    assert float(found.max() / found.min()) > 1.2


def test_where_both_tokens_answer_both_are_asked() -> None:
    net = vit("deit_tiny_distilled_patch16_224")
    found = raw(net, 48)
    expected = by_hand(net, 48)[:, :2, 2:].mean(1).reshape(2, 1, 3, 3)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def test_without_a_class_token_all_tokens_are_asked() -> None:
    params = TimmParams(
        arch="vit_tiny_patch16_224",
        args={"depth": 2, "class_token": False, "global_pool": "avg"},
    )
    net = lively(build(params, channels=3, classes=3, image_size=48))
    found = raw(net, 48)
    expected = by_hand(net, 48).mean(1).reshape(2, 1, 3, 3)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


class Steps(nn.Module):
    """Blocks that each attend with a given matrix; the last two on a grid of their own."""

    def __init__(self, matrices: list[Tensor]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Identity() for _ in matrices)

    def forward(self, images: Tensor) -> Tensor:
        for block in self.blocks:
            images = block(images)
        return images.mean((2, 3))


def stepping(matrices: list[Tensor]) -> Net:
    blocks = tuple(
        Attention(f"blocks.{place}", lambda _m, o: o, matrix=lambda _m, _o, one=one: one[None])
        for place, one in enumerate(matrices)
    )
    return Net(Steps(matrices), attention=blocks)


def test_behind_a_change_of_the_grid_rollout_starts_anew() -> None:
    random = torch.Generator().manual_seed(3)
    early = torch.rand(16, 16, generator=random).softmax(1)
    late = [torch.rand(4, 4, generator=random).softmax(1) for _ in range(2)]
    found = explain(Params(), Subject(stepping([early, *late])), pixels(8)[:1], CLASSES[:1]).maps
    mixed = [0.5 * one + 0.5 * torch.eye(4) for one in late]
    expected = (mixed[1] @ mixed[0]).mean(0)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "size", "grid"),
    [
        ("deit_base", 32, 2),
        ("cskd_tiny", 32, 2),
        ("hdkd", 32, 2),
        ("hdkd_student", 32, 2),
        ("visformer_small", 64, 2),
        ("mobilevit_s", 128, 4),
        ("pvt_tiny", 64, 2),
        ("pvt_v2_b0", 64, 2),
        ("coatnet_0", 64, 2),
        ("autoformer_v2_t", 224, 7),
    ],
)
def test_the_papers_transformers_have_a_rollout(name: str, size: int, grid: int) -> None:
    net = lively(build_model(name, {}, channels=3, classes=2, image_size=size))
    found = raw(net, size)
    assert found.shape == (2, 1, grid, grid)
    assert (found > 0).all()
    explanation = explain_with("attention-rollout", Subject(net), pixels(size), CLASSES)
    assert not explanation.degenerate


@pytest.mark.parametrize(
    ("arch", "size", "problem"),
    [
        ("resnet18", 32, "no attention that could be read"),
        ("crossvit_tiny_240", 240, "are not those that ask"),
        ("pvt_v2_b2_li", 64, "are not those that ask"),
    ],
)
def test_a_model_without_such_attention_is_told_what_to_use(
    arch: str, size: int, problem: str
) -> None:
    net = build(TimmParams(arch=arch), channels=3, classes=2, image_size=size)
    with pytest.raises(ModelError, match=rf"rollout.*{problem}.*Use gradcam or featuremaps"):
        raw(net, size)
