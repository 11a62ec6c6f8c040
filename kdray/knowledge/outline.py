"""What a net has to look at, without its weights; what a method wants of it, column by column."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kdray.distill import DistillationMethod
from kdray.errors import ModelError
from kdray.knowledge.names import SMALL, Column
from kdray.net import Attention, Look, Net, Tap, Wants, look

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Outline:
    """The places of a net and the shapes seen there: enough to ask methods what they want.

    Args:
        net: Its places around a module without layers.
        shapes: Column name -> shape of one image, of all that could be looked at.
        size: Height and width of the images.
    """

    net: Net
    shapes: Mapping[str, Shape]
    size: tuple[int, int]

    @classmethod
    def of(cls, net: Net, channels: int, image_size: int) -> Outline:
        """Return the outline of a net, from a forward pass of one image.

        The pass costs nothing where the net is on the meta device; a net that cannot run there
        runs on the CPU, with whatever is in memory as weights.

        Args:
            net: The net; left as it is.
            channels: Image channels.
            image_size: Height and width of the images, pixels.
        """
        size = (image_size, image_size)
        seen = _seen(net, torch.Size((1, channels, *size)))
        shapes = {name: tuple(value.shape[1:]) for name, value in flatten(seen).items()}
        return cls(_hollow(net), shapes, size)

    def as_json(self) -> dict[str, Any]:
        """Return the outline as JSON holds it."""
        return {
            "taps": {name: vars(tap) for name, tap in self.net.taps.items()},
            "heads": list(self.net.heads),
            "attention": len(self.net.attention),
            "classifier": bool(self.net.classifier),
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "size": list(self.size),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Outline:
        """Return the outline that ``as_json`` described."""
        taps = {
            name: Tap(**{**fields, "grid": tuple(fields["grid"])})
            for name, fields in facts["taps"].items()
        }
        net = Net(
            nn.Identity(),
            taps,
            {name: name for name in facts["heads"]},
            tuple(Attention("", _nothing) for _ in range(facts["attention"])),
            "classifier" if facts["classifier"] else "",
        )
        shapes = {name: tuple(shape) for name, shape in facts["shapes"].items()}
        return cls(net, shapes, (facts["size"][0], facts["size"][1]))

    def look(self, wants: Wants) -> Look:
        """Return a look of one image with the right shapes, all zeros.

        Raises:
            ModelError: The net does not have what is wanted.
        """
        names = ["logits", *(f"map/{name}" for name in wants.taps)]
        names += [f"head/{name}" for name in wants.heads]
        if wants.attention:
            names += [f"attention/{index}" for index in range(len(self.net.attention))]
        names += ["dense"] if wants.dense else []
        # Not on the meta device: its first reduction takes seconds, for the imports it makes.
        columns = {name: torch.zeros(1, *self._shape(name)) for name in names}
        return unflatten(columns, self.size)

    def _shape(self, name: str) -> Shape:
        if name not in self.shapes:
            known = ", ".join(self.shapes)
            raise ModelError(name, "this model does not have it.", f"It has: {known}.")
        return self.shapes[name]


@dataclass(frozen=True)
class Asked:
    """What a method wants of a teacher.

    Args:
        wants: What to look at.
        reduce: What the method takes of such a look.
        columns: What that is, as it is recorded, sorted by name.
    """

    wants: Wants
    reduce: Callable[[Look], Look]
    columns: tuple[Column, ...]


def asked_of(
    method: DistillationMethod,
    student: Net,
    teacher: Outline,
    dtype: Literal["float16", "float32"] = "float16",
) -> Asked:
    """Return what a method wants of a teacher for a student; no net runs.

    Args:
        method: The method, with its settings.
        student: The student, or the net of its outline.
        teacher: The teacher's outline.
        dtype: Numbers of maps on disk; logits and small columns are float32.

    Raises:
        ModelError: One of the nets lacks what the method looks at.
    """
    wants = method.wants(student, teacher.net)[1]
    columns = flatten(method.reduce(teacher.look(wants)))
    found = sorted(_column(name, value, dtype) for name, value in columns.items())
    return Asked(wants, method.reduce, tuple(found))


def columns_of(
    method: DistillationMethod,
    student: Net,
    teacher: Outline,
    dtype: Literal["float16", "float32"] = "float16",
) -> tuple[Column, ...]:
    """Return the columns that ``asked_of`` finds."""
    return asked_of(method, student, teacher, dtype).columns


def together(asked: Iterable[Asked]) -> tuple[Column, ...]:
    """Return the columns of several methods, each once, sorted by name."""
    return tuple(sorted({column for one in asked for column in one.columns}))


def union(wants: Iterable[Wants]) -> Wants:
    """Return one look's wants that hold all of several."""
    listed = list(wants)
    return Wants(
        tuple(dict.fromkeys(name for one in listed for name in one.taps)),
        tuple(dict.fromkeys(name for one in listed for name in one.heads)),
        any(one.attention for one in listed),
        any(one.dense for one in listed),
    )


def restrict(seen: Look, wants: Wants) -> Look:
    """Return a look with nothing but what is wanted."""
    return replace(
        seen,
        maps={name: seen.maps[name] for name in wants.taps},
        heads={name: seen.heads[name] for name in wants.heads},
        attention=seen.attention if wants.attention else (),
        dense=seen.dense if wants.dense else None,
    )


def flatten(seen: Look) -> dict[str, Tensor]:
    """Return the tensors of a look by their columns' names, each ``[B, ...]``."""
    columns = {"logits": seen.logits}
    columns |= {f"map/{name}": value for name, value in seen.maps.items()}
    columns |= {f"head/{name}": value for name, value in seen.heads.items()}
    columns |= {f"attention/{index}": value for index, value in enumerate(seen.attention)}
    return columns if seen.dense is None else {**columns, "dense": seen.dense}


def unflatten(columns: Mapping[str, Tensor], size: tuple[int, int]) -> Look:
    """Return the look that ``flatten`` took apart.

    Args:
        columns: Column name -> ``[B, ...]``.
        size: Height and width of the images.
    """
    kinds: dict[str, dict[str, Tensor]] = {"map": {}, "head": {}, "attention": {}}
    for name, value in columns.items():
        kind, _, rest = name.partition("/")
        if rest:
            kinds[kind][rest] = value
    attention = kinds["attention"]
    return Look(
        columns["logits"],
        kinds["map"],
        kinds["head"],
        tuple(attention[str(index)] for index in range(len(attention))),
        columns.get("dense"),
        size,
    )


def _column(name: str, value: Tensor, dtype: Literal["float16", "float32"]) -> Column:
    shape = tuple(value.shape[1:])
    if value.dtype == torch.bool:
        return Column(name, shape, "bool")
    exact = name == "logits" or value[0].numel() < SMALL
    return Column(name, shape, "float32" if exact else dtype)


def _seen(net: Net, shape: torch.Size) -> Look:
    """Return a look at all that a net has, of one blank image."""
    dense = bool(net.classifier) and "final" in net.taps
    wants = Wants(tuple(net.taps), tuple(net.heads), bool(net.attention), dense)
    weight = next(iter(net.module.parameters()), torch.empty(0))
    training = net.module.training
    net.module.eval()
    try:
        with torch.no_grad():
            return look(net, torch.zeros(shape, device=weight.device), wants)
    except (NotImplementedError, RuntimeError):
        if not weight.is_meta:
            raise
        module = copy.deepcopy(net.module).to_empty(device="cpu")
        with torch.no_grad():
            return look(replace(net, module=module), torch.zeros(shape), wants)
    finally:
        net.module.train(training)


def _hollow(net: Net) -> Net:
    return replace(net, module=nn.Identity(), parallel=None)


def _nothing(_module: nn.Module, _output: Tensor) -> Tensor:
    raise RuntimeError("an outline has no attention to read, only its shape")
