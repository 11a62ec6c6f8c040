from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from kdray.errors import ModelError
from kdray.net import Attention, Net, Tap, Wants, look


class _Doubling(nn.Module):
    """Gives maps in three layouts that all hold the same numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.nchw, self.nhwc, self.tokens = nn.Identity(), nn.Identity(), nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        maps = self.nchw(images * 2)
        self.nhwc(maps.permute(0, 2, 3, 1))
        patches = maps.flatten(2).transpose(1, 2)
        self.tokens(torch.cat([torch.full_like(patches[:, :2], -9.0), patches], dim=1))
        logits: Tensor = maps.sum((2, 3))
        return logits


@pytest.fixture
def net() -> Net:
    taps = {
        "stage1": Tap("nchw"),
        "stage2": Tap("nhwc", "NHWC"),
        "stage3": Tap("tokens", "tokens", (3, 5), 2),
    }
    return Net(_Doubling(), taps)


def test_maps_of_every_layout_come_as_channels_rows_columns(net: Net) -> None:
    images = torch.arange(2 * 4 * 3 * 5, dtype=torch.float32).reshape(2, 4, 3, 5)
    seen = look(
        net,
        images,
        Wants(
            (
                "stage1",
                "stage2",
                "stage3",
            )
        ),
    )
    for maps in seen.maps.values():
        assert torch.equal(maps, images * 2)


def test_logits_come_with_and_without_taps(net: Net) -> None:
    images = torch.ones(1, 4, 3, 5)
    assert torch.equal(look(net, images).logits, torch.full((1, 4), 30.0))
    assert look(net, images).maps == {}
    assert torch.equal(look(net, images, Wants(("stage2",))).logits, torch.full((1, 4), 30.0))


def test_only_the_named_taps_are_kept_in_the_order_asked_for(net: Net) -> None:
    assert list(
        look(
            net,
            torch.ones(1, 4, 3, 5),
            Wants(
                (
                    "stage3",
                    "stage1",
                )
            ),
        ).maps
    ) == [
        "stage3",
        "stage1",
    ]


def test_gradients_flow_back_through_the_maps(net: Net) -> None:
    images = torch.ones(1, 4, 3, 5, requires_grad=True)
    look(net, images, Wants(("stage3",))).maps["stage3"].sum().backward()
    assert torch.equal(images.grad, torch.full_like(images, 2.0))  # type: ignore[arg-type]


def test_no_hook_stays_behind_even_when_the_network_fails(net: Net) -> None:
    with pytest.raises(RuntimeError):
        look(net, torch.ones(3), Wants(("stage1",)))
    assert not any(part._forward_hooks for part in net.module.modules())


def test_an_unknown_tap_is_refused_with_the_known_ones(net: Net) -> None:
    with pytest.raises(ModelError, match=r"tap 'cam'.*It has: stage1, stage2, stage3"):
        look(net, torch.ones(1, 4, 3, 5), Wants(("cam",)))


class _Block(nn.Module):
    """Tokens ``[B, N, D]`` with a first one that belongs to no patch; two linear heads."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2, bias=False)
        self.other = nn.Linear(3, 2, bias=False)
        self.qkv = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.qkv(images.flatten(2).transpose(1, 2))
        mean = tokens.mean(dim=1)
        logits: torch.Tensor = (self.head(mean) + self.other(mean)) / 2
        return logits


@pytest.fixture
def tokens() -> Net:
    def first(_layer: nn.Module, output: torch.Tensor) -> torch.Tensor:
        return output[:, :, 0].reshape(len(output), 2, 2)

    return Net(
        _Block(),
        taps={"final": Tap("qkv", "tokens", (2, 2), 0)},
        heads={"class": "head", "distillation": "other"},
        attention=(Attention("qkv", first),),
        classifier="head",
    )


def test_every_head_gives_its_own_logits_in_the_same_pass(tokens: Net) -> None:
    images = torch.randn(2, 3, 2, 2)
    seen = look(tokens, images, Wants(heads=("class", "distillation")))
    mean = images.flatten(2).mean(dim=2)
    assert torch.allclose(seen.heads["class"], tokens.head("class")(mean))
    assert torch.allclose((seen.heads["class"] + seen.heads["distillation"]) / 2, seen.logits)


def test_attention_is_read_as_the_block_tells(tokens: Net) -> None:
    images = torch.randn(2, 3, 2, 2)
    (attention,) = look(tokens, images, Wants(attention=True)).attention
    assert torch.equal(attention, images[:, 0])


def test_each_place_is_classified_as_the_mean_would_be(tokens: Net) -> None:
    images = torch.randn(2, 3, 2, 2)
    dense = look(tokens, images, Wants(dense=True)).dense
    assert dense is not None
    assert dense.shape == (2, 2, 2, 2)
    assert torch.allclose(dense.mean(dim=(2, 3)), tokens.head("class")(images.mean(dim=(2, 3))))


def test_what_a_network_lacks_is_refused(net: Net) -> None:
    with pytest.raises(ModelError, match="no attention"):
        look(net, torch.ones(1, 4, 3, 5), Wants(attention=True))
    with pytest.raises(ModelError, match=r"head 'class'.*It has: none"):
        look(net, torch.ones(1, 4, 3, 5), Wants(heads=("class",)))
    with pytest.raises(ModelError, match="tap 'final'"):
        look(net, torch.ones(1, 4, 3, 5), Wants(dense=True))
