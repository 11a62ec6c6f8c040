"""What kdray is compared with: training steps as one writes them in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from kdray.learn import Batch
from kdray.models import build_model
from kdray.net import Look, Net, Wants, look
from kdray.saliency import saliency, saliency_wants

CHANNELS: Final = 3
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Setting:
    """What all variants of a benchmark have in common.

    Args:
        image_size: Height and width, pixels.
        batch_size: Images of a step.
        threads: Threads of a process.
        device: Where the networks compute.
        batches: How many different batches are taken in turn.
    """

    image_size: int = 224
    batch_size: int = 16
    threads: int = 2
    device: str = "cpu"
    batches: int = 4


def model(name: str, classes: int, setting: Setting) -> Net:
    """Return a network with random weights, the same for each call, on the device."""
    size = setting.image_size
    net = build_model(name, {}, channels=CHANNELS, classes=classes, image_size=size)
    net.module.to(setting.device)
    return net


def adam(net: Net) -> torch.optim.Optimizer:
    """Return the optimizer as one writes it without a thought."""
    return torch.optim.Adam(net.module.parameters(), lr=LEARNING_RATE)


def step(
    net: Net,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Batch], Tensor],
    batches: Sequence[Batch],
) -> Callable[[], None]:
    """Return what takes a training step on a batch after the other, all of them in memory."""
    endless = cycle(batches)
    net.module.train()

    def once() -> None:
        batch = next(endless)
        optimizer.zero_grad()
        loss(batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return once


def labels_alone(net: Net) -> Callable[[Batch], Tensor]:
    """Return the loss of the student alone: the cross-entropy of its labels."""
    return lambda batch: F.cross_entropy(net.module(batch.images), batch.labels)


def with_own_map(net: Net) -> Callable[[Batch], Tensor]:
    """Return the same and the distance of the student's own saliency map from a fixed one."""
    wants = saliency_wants(net, "the student")

    def loss(batch: Batch) -> Tensor:
        seen = look(net, batch.images, wants)
        distance = (saliency(seen) - 0.5).square().mean()
        return F.cross_entropy(seen.logits, batch.labels) + distance

    return loss


def forward(net: Net, wants: Wants, batches: Iterable[Batch]) -> Callable[[], Look]:
    """Return what looks at a batch after the other as a teacher does: without gradients."""
    endless = cycle(batches)
    net.module.eval().requires_grad_(False)

    def once() -> Look:
        with torch.no_grad():
            return look(net, next(endless).images, wants)

    return once
