from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from kdray import parts
from kdray.errors import ModelError
from kdray.knowledge.outline import Outline, columns_of, flatten, restrict, unflatten
from kdray.net import Net, Wants, look
from tests.distill.small import bare_net, small_net
from tests.knowledge.recording import method

NEEDS = {name: parts.header("distill", name).constants["NEEDS"] for name in parts.names("distill")}
TAUGHT = [name for name in NEEDS if NEEDS[name]]
ALL = Wants(("stage1", "final"), ("class",), attention=True, dense=True)


class Moody(nn.Module):
    """Cannot run without memory: it looks at a number."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(256, 4)

    def forward(self, images: Tensor) -> Tensor:
        seen: Tensor = self.layer(images.flatten(1))
        return seen if float(images[0, 0, 0, 0]) == 0 else -seen


def test_a_look_put_together_again_is_the_look() -> None:
    seen = look(small_net(attends=True), torch.randn(2, 1, 16, 16), ALL)
    again = unflatten(flatten(seen), seen.size)
    assert flatten(again).keys() == flatten(seen).keys()
    assert all(flatten(again)[name] is value for name, value in flatten(seen).items())
    assert again.size == (16, 16)


def test_a_restricted_look_is_the_look_at_less() -> None:
    net, images = small_net(attends=True).module.eval(), torch.randn(2, 1, 16, 16)
    whole = look(replace(small_net(attends=True), module=net), images, ALL)
    less = Wants(("final",))
    expected = look(replace(small_net(attends=True), module=net), images, less)
    assert flatten(restrict(whole, less)).keys() == flatten(expected).keys()


@pytest.mark.parametrize("name", TAUGHT)
@pytest.mark.parametrize("attends", [False, True])
def test_columns_are_those_of_a_reduced_look(name: str, attends: bool) -> None:
    student, teacher, taught = small_net(), small_net(attends=attends), method(name)
    columns = columns_of(taught, student, Outline.of(teacher, 1, 16))
    wants = taught.wants(student, teacher)[1]
    seen = flatten(taught.reduce(look(teacher, torch.randn(3, 1, 16, 16), wants)))
    assert {one.name: (3, *one.shape) for one in columns} == {
        key: tuple(value.shape) for key, value in seen.items()
    }


def test_small_columns_and_logits_are_float32_and_maps_as_chosen() -> None:
    outline = Outline.of(small_net(), 1, 16)
    for dtype in ("float16", "float32"):
        found = {
            one.name: one.dtype for one in columns_of(method("hdkd"), small_net(), outline, dtype)
        }
        assert found["logits"] == "float32"
        assert found["map/stage3"] == "float32"  # 8 x 2 x 2: fewer than 64
        assert found["map/stage1"] == dtype


def test_bits_of_dfkd_are_booleans() -> None:
    taught = method("dfkd", mask="hard", record="bits")
    columns = columns_of(taught, small_net(), Outline.of(small_net(), 1, 16))
    assert [(one.name, one.dtype, one.image_bytes) for one in columns[1:]] == [
        ("map/shape.above-3.0", "bool", 1),
        ("map/texture.above-3.0", "bool", 8),
    ]


@pytest.mark.parametrize("attends", [False, True])
def test_an_outline_is_the_same_through_json(attends: bool) -> None:
    net = small_net(attends=attends)
    outline = Outline.of(net, 1, 16)
    again = Outline.from_json(json.loads(json.dumps(outline.as_json())))
    assert again.shapes == outline.shapes
    assert again.size == (16, 16)
    for name in ("kd", "dfkd", "cskd", "ikd"):
        assert columns_of(method(name), small_net(), again) == columns_of(
            method(name), small_net(), outline
        )
    assert not list(again.net.module.parameters())


def test_a_net_that_cannot_run_without_memory_runs_on_the_cpu() -> None:
    with torch.device("meta"):
        net = Net(Moody())
    assert Outline.of(net, 1, 16).shapes == {"logits": (4,)}
    assert net.module.layer.weight.is_meta  # type: ignore[union-attr]


def test_a_net_without_weights_shows_the_same_shapes() -> None:
    with torch.device("meta"):
        net = bare_net()
    assert Outline.of(net, 1, 16).shapes == Outline.of(bare_net(), 1, 16).shapes


def test_the_net_is_left_as_it_was() -> None:
    net = small_net()
    before = {name: value.clone() for name, value in net.module.state_dict().items()}
    Outline.of(net, 1, 16)
    assert net.module.training
    assert all(torch.equal(value, before[name]) for name, value in net.module.state_dict().items())


def test_what_a_teacher_lacks_is_refused() -> None:
    with pytest.raises(ModelError, match="stage1"):
        columns_of(method("hdkd"), small_net(), Outline.of(bare_net(), 1, 16))
