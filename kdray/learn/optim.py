"""Optimizers, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from kdray.spec.experiment import Train


def optimizer(parameters: Iterable[nn.Parameter], settings: Train) -> torch.optim.Optimizer:
    """Return the optimizer of the settings, each step one kernel a weight and not a dozen."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        parameters, lr=rate, weight_decay=decay, momentum=0.9, nesterov=True, fused=True
    )


def rate_at(step: int, steps: int, settings: Train) -> float:
    """Return the learning rate of a step.

    It rises linearly over the warm-up, then stays, or falls as half a cosine wave to the least
    rate (Loshchilov and Hutter, 2017, arXiv:1608.03983, eq. 5 with one cycle).

    Args:
        step: Number of the step over the whole run, from 0.
        steps: Steps of one epoch.
        settings: Peak rate, warm-up, schedule and epochs.
    """
    warmup = settings.warmup_epochs * steps
    total = settings.epochs * steps
    if step < warmup:
        start = settings.warmup_learning_rate
        if start is None:
            return settings.learning_rate * (step + 1) / (warmup + 1)
        return start + (settings.learning_rate - start) * step / warmup
    if settings.schedule == "constant" or total <= warmup:
        return settings.learning_rate
    done = (step - warmup) / (total - warmup)
    least = min(settings.min_learning_rate, settings.learning_rate)
    share = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return least + (settings.learning_rate - least) * share
