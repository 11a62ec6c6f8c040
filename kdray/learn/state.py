"""A training run as bytes: written after each epoch, read after a restart."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kdray.errors import RunError


@dataclass(frozen=True)
class Epoch:
    """What one epoch did.

    Args:
        epoch: Number, from 1.
        train_loss: Mean loss over the train split.
        terms: Mean of each term of the loss.
        validation: Scores on the validation split.
        learning_rate: The rate of its last step.
        images_per_s: Training images a second, over all processes.
        seconds: How long it took, validation included.
    """

    epoch: int
    train_loss: float
    terms: dict[str, float]
    validation: dict[str, float | None]
    learning_rate: float
    images_per_s: float
    seconds: float

    def score(self, select: str) -> float:
        """Return the validation score of a name.

        Raises:
            RunError: It is not defined on this validation split.
        """
        value = self.validation[select]
        if value is None:
            raise RunError(
                "train.select",
                f"{select} is not defined on the validation split: it lacks a class.",
                "Select by macro_f1, or enlarge data.splits.val.",
            )
        return value


@dataclass
class Progress:
    """Where a training run stands: the epochs done and the best weights so far."""

    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_state: dict[str, Tensor] = field(default_factory=dict)

    def add(self, epoch: Epoch, select: str) -> bool:
        """Add an epoch, and return whether its validation score is the best so far."""
        self.epochs.append(epoch)
        best = self.epochs[self.best_epoch - 1] if self.best_epoch else None
        if best is not None and not better(epoch.score(select), best.score(select), select):
            return False
        self.best_epoch = epoch.epoch
        return True

    def keep(self, epoch: Epoch, select: str, module: nn.Module) -> None:
        """Add an epoch, and keep its weights when it is the best so far."""
        if self.add(epoch, select):
            self.best_state = {
                name: value.detach().cpu().clone() for name, value in module.state_dict().items()
            }


def better(score: float, than: float, select: str) -> bool:
    """Return whether a score beats another: a loss by being smaller, others by being larger."""
    return score < than if select == "loss" else score > than


def save(
    progress: Progress,
    module: nn.Module,
    optim: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    adapters: nn.Module | None = None,
) -> bytes:
    """Return a run's state as bytes."""
    buffer = io.BytesIO()
    state: dict[str, Any] = {
        "epochs": [asdict(epoch) for epoch in progress.epochs],
        "best_epoch": progress.best_epoch,
        "best_state": progress.best_state,
        "module": module.state_dict(),
        "adapters": {} if adapters is None else adapters.state_dict(),
        "optimizer": optim.state_dict(),
        "scaler": scaler.state_dict(),
    }
    torch.save(state, buffer)
    return buffer.getvalue()


def restore(
    data: bytes,
    module: nn.Module,
    optim: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    adapters: nn.Module | None = None,
) -> Progress:
    """Load a run's state into module, optimizer, scaler and adapters; return where it stands."""
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    module.load_state_dict(state["module"])
    if adapters is not None:
        adapters.load_state_dict(state["adapters"])
    optim.load_state_dict(state["optimizer"])
    if scaler.is_enabled():
        scaler.load_state_dict(state["scaler"])
    epochs = [Epoch(**epoch) for epoch in state["epochs"]]
    return Progress(epochs, state["best_epoch"], state["best_state"])
