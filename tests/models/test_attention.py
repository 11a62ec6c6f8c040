"""Attention that is computed again equals the softmax that the block itself would form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdray.models import build_model
from kdray.models.timm import Params, build
from kdray.net import Attention, Look, Net, Wants, look


def images(size: int) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def lively(net: Net) -> Net:
    """Give all weights a size at which attention is far from uniform, and set eval mode."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in net.module.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 2 / weight[0].numel() ** 0.5, generator=random)
    net.module.eval()
    return net


def made(arch: str, size: int, **args: Any) -> Net:
    return lively(build(Params(arch=arch, args=args), channels=3, classes=3, image_size=size))


def softmaxed(net: Net, size: int) -> list[Tensor]:
    """Return the weights ``[B', heads, N, M]`` of each block, its fused kernel switched off."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        found.append(inputs[0])

    blocks = [part for part in net.module.modules() if hasattr(part, "fused_attn")]
    handles = [part.get_submodule("attn_drop").register_forward_hook(keep) for part in blocks]
    fused = [part.fused_attn for part in blocks]
    for part in blocks:
        part.fused_attn = False  # type: ignore[assignment]
    with torch.no_grad():
        net.module(images(size))
    for part, handle, before in zip(blocks, handles, fused, strict=True):
        part.fused_attn = before
        handle.remove()
    return found


def seen(net: Net, size: int) -> Look:
    with torch.no_grad():
        return look(net, images(size), Wants(attention=True))


def square(weights: Tensor) -> Tensor:
    side = round(weights.shape[1] ** 0.5)
    return weights.reshape(-1, side, side)


def of_class_token(weights: Tensor) -> Tensor:
    return square(weights.mean(1)[:, 0, 1:])


def of_mean_query(weights: Tensor) -> Tensor:
    return square(weights.mean((1, 2)))


CASES: list[tuple[str, int, dict[str, Any], Callable[[Tensor], Tensor]]] = [
    ("deit_tiny_patch16_224", 48, {"depth": 2}, of_class_token),
    ("deit_tiny_patch16_224", 48, {"depth": 2, "qk_norm": True}, of_class_token),
    ("visformer_tiny", 64, {}, of_mean_query),
    ("coatnet_nano_rw_224", 64, {}, of_mean_query),
    ("coatnet_0_rw_224", 64, {}, of_mean_query),
    ("pvt_v2_b0", 64, {}, of_mean_query),
    ("pvt_v2_b2_li", 64, {"depths": (1, 1, 1, 1)}, of_mean_query),
]


@pytest.mark.parametrize(("arch", "size", "args", "expected"), CASES)
def test_the_maps_are_those_of_the_blocks_own_softmax(
    arch: str, size: int, args: dict[str, Any], expected: Callable[[Tensor], Tensor]
) -> None:
    net = made(arch, size, **args)
    theirs = softmaxed(net, size)
    ours = seen(net, size).attention
    assert len(ours) == len(theirs) > 0
    for one, weights in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, expected(weights), rtol=1e-4, atol=1e-6)
    assert max(float(one.max() / one.mean()) for one in ours) > 1.2


def test_behind_a_distillation_token_the_class_token_is_asked_for_the_patches() -> None:
    net = made("deit_tiny_distilled_patch16_224", 48, depth=1)
    (weights,) = softmaxed(net, 48)
    (ours,) = seen(net, 48).attention
    torch.testing.assert_close(ours, square(weights.mean(1)[:, 0, 2:]), rtol=1e-4, atol=1e-6)


def test_the_windows_of_swin_come_back_to_their_places() -> None:
    net = made("swin_tiny_patch4_window7_224", 112, depths=(2, 2), num_heads=(3, 6))
    theirs = softmaxed(net, 112)
    ours = seen(net, 112).attention
    assert len(ours) == 4
    blocks = [part for part in net.module.modules() if hasattr(part, "attn_mask")]
    assert any(any(block.shift_size) for block in blocks)  # type: ignore[arg-type]
    for one, weights, block in zip(ours, theirs, blocks, strict=True):
        torch.testing.assert_close(one, _placed(weights, block), rtol=1e-4, atol=1e-6)


def _placed(weights: Tensor, block: Any) -> Tensor:
    """Return the mean query's weights of windows ``[B * windows, heads, N, N]``, cell by cell."""
    (high, wide), (height, width) = block.window_size, block.input_resolution
    down, right = block.shift_size
    columns = -(-width // wide)
    windows = -(-height // high) * columns
    mean = weights.mean((1, 2))
    map_ = torch.zeros(weights.shape[0] // windows, height, width)
    for window in range(windows):
        for cell in range(high * wide):
            row = window // columns * high + cell // wide
            column = window % columns * wide + cell % wide
            if row < height and column < width:
                place = ((row + down) % height, (column + right) % width)
                map_[:, place[0], place[1]] = mean[window::windows, cell]
    return map_


def test_the_cells_of_mobilevit_come_back_to_their_places() -> None:
    net = made("mobilevit_xxs", 64)
    theirs = softmaxed(net, 64)
    ours = seen(net, 64).attention
    assert len(ours) == len(theirs) == 2 + 4 + 3
    for one, weights in zip(ours, theirs, strict=True):
        mean = weights.mean((1, 2)).reshape(2, 4, -1)  # [B, place in the patch, patch]
        columns = one.shape[2] // 2
        for patch in range(mean.shape[2]):
            for place in range(4):
                row, column = patch // columns * 2 + place // 2, patch % columns * 2 + place % 2
                torch.testing.assert_close(
                    one[:, row, column], mean[:, place, patch], rtol=1e-4, atol=1e-6
                )


def test_both_branches_of_crossvit_are_read() -> None:
    net = made("crossvit_tiny_240", 240)
    theirs = [weights for weights in softmaxed(net, 240) if weights.shape[2] > 1]
    ours = seen(net, 240).attention
    assert [tuple(one.shape[1:]) for one in ours] == ([(20, 20)] + [(14, 14)] * 4) * 3
    for one, weights in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, of_class_token(weights), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["hdkd", "hdkd_student"])
def test_hdkd_gives_the_class_tokens_row(name: str) -> None:
    net = lively(build_model(name, {}, channels=3, classes=3, image_size=32))
    taken: list[Tensor] = []
    layers: Any = net.module.get_submodule("transformer.layers")
    handles = [
        layer.attend.register_forward_hook(lambda _m, inputs, _o: taken.append(inputs[0]))
        for layer in layers
    ]
    ours = seen(net, 32).attention
    for handle in handles:
        handle.remove()
    prefix = 2 if name == "hdkd" else 1
    for one, tokens, layer in zip(ours, taken, layers, strict=True):
        with torch.no_grad():
            query, key, _ = layer.attend.qkv(tokens).double().chunk(3, dim=2)
        row = torch.zeros(2, tokens.shape[1], dtype=torch.float64)
        for head in range(8):
            part = slice(32 * head, 32 * head + 32)
            products = (query[:, :1, part] @ key[:, :, part].transpose(1, 2)) / 32**0.5
            row += products.softmax(-1)[:, 0] / 8
        torch.testing.assert_close(one.double(), square(row[:, prefix:]), rtol=1e-4, atol=1e-6)


def test_pvt_gives_what_its_cells_of_keys_get() -> None:
    net = lively(build_model("pvt_tiny", {}, channels=3, classes=3, image_size=64))
    attention: Any = net.module.get_submodule("stages.0.blocks.0.attn")
    last: Any = net.module.get_submodule("stages.3.blocks.1.attn")
    taken: dict[Any, Tensor] = {}
    for part in (attention, last):
        part.register_forward_hook(lambda m, inputs, _o: taken.__setitem__(m, inputs[0]))
    ours = seen(net, 64).attention
    for part, one, prefix in ((attention, ours[0], 0), (last, ours[-1], 1)):
        with torch.no_grad():
            tokens = taken[part]
            keys = part.kv(part.reduced(tokens)).chunk(2, dim=2)[0]
            shape = (2, -1, part.num_heads, keys.shape[2] // part.num_heads)
            query, key = part.q(tokens).reshape(shape), keys.reshape(shape)
            products = torch.einsum("bqhd,bkhd->bhqk", query, key) * part.scale
            weights = products.softmax(-1).mean(1)
        row = weights[:, 0, 1:] if prefix else weights.mean(1)
        torch.testing.assert_close(one, square(row), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("arch", ["deit_tiny_patch16_224", "pvt_v2_b0", "mobilevit_xxs"])
def test_looking_at_attention_changes_no_bit_of_the_answer(arch: str) -> None:
    net = made(arch, 64)
    with torch.no_grad():
        plain = net.module(images(64))
    assert torch.equal(seen(net, 64).logits, plain)
    fused = [part.fused_attn for part in net.module.modules() if hasattr(part, "fused_attn")]
    assert all(fused)


def test_attention_has_a_gradient() -> None:
    net = made("deit_tiny_patch16_224", 48, depth=1)
    (maps,) = look(net, images(48), Wants(attention=True)).attention
    maps[:, 0, 0].sum().backward()
    weight: Any = net.module.get_parameter("blocks.0.attn.qkv.weight")
    assert weight.grad is not None
    assert float(weight.grad.abs().sum()) > 0


def matrices(net: Net, size: int) -> list[Tensor | None]:
    """Return the whole matrix of each block; None where a block gives none."""
    found: list[Tensor | None] = [None] * len(net.attention)

    def keep(index: int, place: Attention) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if place.matrix is not None:
                given = inputs[0] if place.reads == "input" else output
                found[index] = place.matrix(layer, given)

        return hook

    for index, place in enumerate(net.attention):
        net.module.get_submodule(place.path).register_forward_hook(keep(index, place))
    with torch.no_grad():
        net.module(images(size))
    return found


def whole(found: list[Tensor | None]) -> list[Tensor]:
    assert all(one is not None for one in found)
    return [one for one in found if one is not None]


@pytest.mark.parametrize(
    ("arch", "size", "args"),
    [case[:3] for case in CASES if not case[0].startswith("pvt")]
    + [("deit_tiny_distilled_patch16_224", 48, {"depth": 2})],
)
def test_whole_matrices_are_the_mean_over_the_heads_of_the_blocks_softmax(
    arch: str, size: int, args: dict[str, Any]
) -> None:
    net = made(arch, size, **args)
    for one, weights in zip(whole(matrices(net, size)), softmaxed(net, size), strict=True):
        torch.testing.assert_close(one, weights.mean(1), rtol=1e-4, atol=1e-6)


def test_pvt_has_whole_matrices_where_keys_are_of_the_same_map_alone() -> None:
    net = made("pvt_v2_b0", 64)
    theirs = softmaxed(net, 64)
    found = matrices(net, 64)
    assert [one is not None for one in found] == [False] * 6 + [True] * 2
    for one, weights in zip(whole(found[-2:]), theirs[-2:], strict=True):
        torch.testing.assert_close(one, weights.mean(1), rtol=1e-4, atol=1e-6)
    assert all(one is None for one in matrices(made("pvt_v2_b2_li", 64), 64))


def test_the_matrix_of_windows_is_0_between_windows_and_in_place() -> None:
    net = made("swin_tiny_patch4_window7_224", 112, depths=(2, 2), num_heads=(3, 6))
    theirs = softmaxed(net, 112)
    blocks: list[Any] = [part for part in net.module.modules() if hasattr(part, "attn_mask")]
    assert any(any(block.shift_size) for block in blocks)
    for one, weights, block in zip(whole(matrices(net, 112)), theirs, blocks, strict=True):
        mean = weights.mean(1).reshape(2, -1, *weights.shape[2:])
        (high, wide), (height, width) = block.window_size, block.input_resolution
        down, right = block.shift_size
        expected = torch.zeros_like(one)
        for window in range(mean.shape[1]):
            top, left = window // (width // wide) * high, window % (width // wide) * wide
            cells = [
                (top + row + down) % height * width + (left + column + right) % width
                for row in range(high)
                for column in range(wide)
            ]
            for place, cell in enumerate(cells):
                expected[:, cell, cells] = mean[:, window, place]
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-6)


def test_padded_windows_have_no_matrix() -> None:
    net = made("swin_tiny_patch4_window7_224", 96, depths=(1, 1), num_heads=(3, 6))
    assert [place.matrix is None for place in net.attention] == [True, True]


def test_the_matrix_of_mobilevit_joins_cells_at_the_same_place_of_their_patches() -> None:
    net = made("mobilevit_xxs", 64)
    theirs = softmaxed(net, 64)
    for one, weights in zip(whole(matrices(net, 64)), theirs, strict=True):
        mean = weights.mean(1).reshape(2, 4, *weights.shape[2:])
        patches = round(mean.shape[2] ** 0.5)
        expected = torch.zeros_like(one)
        for place in range(4):
            cells = [
                (patch // patches * 2 + place // 2) * 2 * patches + patch % patches * 2 + place % 2
                for patch in range(patches**2)
            ]
            for patch, cell in enumerate(cells):
                expected[:, cell, cells] = mean[:, place, patch]
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["hdkd", "hdkd_student"])
def test_the_class_tokens_row_of_hdkds_matrix_is_its_map(name: str) -> None:
    net = lively(build_model(name, {}, channels=3, classes=3, image_size=32))
    prefix = 2 if name == "hdkd" else 1
    for one, map_ in zip(whole(matrices(net, 32)), seen(net, 32).attention, strict=True):
        torch.testing.assert_close(one.sum(2), torch.ones(one.shape[:2]))
        torch.testing.assert_close(square(one[:, 0, prefix:]), map_, rtol=1e-4, atol=1e-6)
