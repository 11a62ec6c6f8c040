"""A small net with all that a method may look at, and looks made of random numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from kdray.net import Attention, Look, Net, Tap

HEADS = ("class", "distillation")
#: Map -> channels and side, for images of 16 px.
MAPS = {"stage1": (4, 8), "stage2": (6, 4), "stage3": (8, 2), "texture": (4, 8), "shape": (8, 2)}


class Small(nn.Module):
    """Three convolution stages, three blocks that attend, two heads."""

    def __init__(self, classes: int, width: int = 1) -> None:
        super().__init__()
        widths = [1, 4 * width, 6 * width, 8 * width]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU())
            for before, after in itertools.pairwise(widths)
        )
        self.blocks = nn.ModuleList(nn.Conv2d(widths[3], widths[3], 1) for _ in range(3))
        self.final = nn.Identity()
        self.heads = nn.ModuleList(nn.Linear(widths[3], classes) for _ in HEADS)

    def forward(self, images: Tensor) -> Tensor:
        maps = images
        for stage in self.stages:
            maps = stage(maps)
        for block in self.blocks:
            maps = maps + block(maps)
        pooled = self.final(maps).mean((2, 3))
        logits: Tensor = torch.stack([head(pooled) for head in self.heads]).mean(0)
        return logits


def attended(_module: nn.Module, output: Tensor) -> Tensor:
    return output.mean(1).flatten(1).softmax(1).reshape(output.shape[0], *output.shape[2:])


def small_net(classes: int = 4, *, seed: int = 0, attends: bool = False, width: int = 1) -> Net:
    """Return a small net for images ``[B, 1, 16, 16]``; a transformer where it ``attends``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = Small(classes, width)
    taps = {f"stage{i + 1}": Tap(f"stages.{i}") for i in range(3)} | {"final": Tap("final")}
    maps = {} if attends else {"texture": Tap("stages.0"), "shape": Tap("stages.2")}
    heads = {name: f"heads.{i}" for i, name in enumerate(HEADS)}
    blocks = tuple(Attention(f"blocks.{i}", attended) for i in range(3)) if attends else ()
    return Net(module, {**taps, **maps}, heads, blocks, "heads.0")


def bare_net(classes: int = 4) -> Net:
    """Return a net with nothing but logits."""
    return Net(nn.Sequential(nn.Flatten(), nn.Linear(256, classes)))


@dataclass(frozen=True)
class Lesson:
    """What a method is called with."""

    student: Look
    teacher: Look
    labels: Tensor

    def __iter__(self) -> Iterator[Look | Tensor]:
        return iter((self.student, self.teacher, self.labels))

    def leaves(self) -> dict[str, Tensor]:
        """Return the tensors of the student's look."""
        return leaves(self.student)

    def image(self, index: int) -> Lesson:
        """Return the lesson of one image."""
        chosen = slice(index, index + 1)
        cut = [
            with_leaves(one, {name: leaf[chosen] for name, leaf in leaves(one).items()})
            for one in (self.student, self.teacher)
        ]
        return Lesson(cut[0], cut[1], self.labels[chosen])


def leaves(one: Look) -> dict[str, Tensor]:
    """Return all tensors of a look by name."""
    named = {"logits": one.logits, **one.maps, **{f"head {k}": v for k, v in one.heads.items()}}
    named |= {f"attention {i}": maps for i, maps in enumerate(one.attention)}
    return named if one.dense is None else {**named, "dense": one.dense}


def with_leaves(one: Look, named: dict[str, Tensor]) -> Look:
    """Return a look with other tensors of the same names."""
    return replace(
        one,
        logits=named["logits"],
        maps={name: named[name] for name in one.maps},
        heads={name: named[f"head {name}"] for name in one.heads},
        attention=tuple(named[f"attention {i}"] for i in range(len(one.attention))),
        dense=named.get("dense"),
    )


def random_look(
    random: torch.Generator, size: int, classes: int, side: int, scale: float, dtype: torch.dtype
) -> Look:
    """Return a look of random numbers, its dense logits ``[size, classes, side, side]``."""

    def drawn(*shape: int) -> Tensor:
        return torch.randn(size, *shape, generator=random, dtype=dtype)

    return Look(
        drawn(classes) * scale,
        {name: drawn(depth, width, width) for name, (depth, width) in MAPS.items()},
        {name: drawn(classes) * scale for name in HEADS},
        (),
        drawn(classes, side, side) * scale,
        (16, 16),
    )


def make_lesson(
    size: int = 6,
    classes: int = 4,
    scale: float = 2.0,
    dtype: torch.dtype = torch.float64,
) -> Lesson:
    """Return looks of random numbers; the student's ask for a gradient."""
    random = torch.Generator().manual_seed(7)
    student = random_look(random, size, classes, 4, scale, dtype)
    teacher = random_look(random, size, classes, 2, scale, dtype)
    for leaf in leaves(student).values():
        leaf.requires_grad_()
    return Lesson(student, teacher, torch.randint(classes, (size,), generator=random))
