"""The training loop: epochs of a net towards an objective, resumable after each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdray.errors import Diverged, RunError
from kdray.learn import state as states
from kdray.learn.batches import Batch, Batches
from kdray.learn.compiling import compiled
from kdray.learn.objective import Objective
from kdray.learn.optim import optimizer, rate_at
from kdray.learn.state import Epoch, Progress
from kdray.learn.world import World
from kdray.measure import validation_scores
from kdray.models import lay_out
from kdray.net import Net
from kdray.spec.experiment import Train

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Hooks:
    """What the loop asks of its surroundings.

    Args:
        load: Returns the last saved state, or None.
        save: Keeps a state; called by the leading process after each epoch.
        epoch: Told of each finished epoch, also of those found on resuming; returns True to stop.
        beat: Told of images done and all images of the epoch, about once a second.
    """

    load: Callable[[], bytes | None] = lambda: None
    save: Callable[[bytes], None] = lambda data: None
    epoch: Callable[[Epoch, int], bool] = lambda epoch, best: False
    beat: Callable[[int, int, int], None] = lambda epoch, done, total: None


@dataclass(frozen=True)
class Fitted:
    """A finished training run.

    Args:
        state: The weights of the best epoch.
        epochs: All epochs.
        best_epoch: Number of the best one.
    """

    state: Mapping[str, Tensor]
    epochs: tuple[Epoch, ...]
    best_epoch: int

    @property
    def validation(self) -> dict[str, float | None]:
        """Validation scores of the best epoch."""
        return self.epochs[self.best_epoch - 1].validation


def fit(
    net: Net,
    objective: Objective,
    batches: Batches,
    settings: Train,
    select: str = "macro_f1",
    hooks: Hooks | None = None,
) -> Fitted:
    """Train a net and return the weights of its best epoch.

    The same seed gives the same weights, whether or not the run was interrupted between epochs.

    Args:
        net: The net to train, on its device.
        objective: The loss.
        batches: The images, and the processes that share the run.
        settings: Epochs, optimizer, rate, patience, precision and what makes steps fast.
        select: The validation score that chooses the best epoch.
        hooks: Saving, resuming, reporting.

    Raises:
        Diverged: The loss is not finite.
        RunError: The precision does not exist on the device.
    """
    hooks = hooks or Hooks()
    world = batches.world
    if settings.precision == "float16" and not world.device.startswith("cuda"):
        raise RunError("train.precision", "float16 needs a GPU.", "Use bfloat16 or float32.")
    stepper = Stepper(net, objective, settings, world)
    saved = world.share(hooks.load() if world.leads else None)
    progress = stepper.restore(saved) if saved else Progress()
    stepper.begin()
    stop = world.share(_replay(progress, select, hooks) if world.leads else None)
    while not (stop or _is_over(progress, settings)):
        epoch = _epoch(stepper, net, batches, len(progress.epochs) + 1, hooks)
        progress.keep(epoch, select, net.module)
        if world.leads:
            hooks.save(stepper.save(progress))
        stop = world.share(hooks.epoch(epoch, progress.best_epoch) if world.leads else None)
    return Fitted(progress.best_state, tuple(progress.epochs), progress.best_epoch)


def _replay(progress: Progress, select: str, hooks: Hooks) -> bool:
    """Tell of the epochs that were done before an interruption, as they were told then."""
    past = Progress()
    for epoch in progress.epochs:
        past.add(epoch, select)
        if hooks.epoch(epoch, past.best_epoch):
            return True
    return False


def _is_over(progress: Progress, settings: Train) -> bool:
    done = len(progress.epochs)
    waited = done - progress.best_epoch
    return done >= settings.epochs or (
        settings.patience is not None and done > 0 and waited >= settings.patience
    )


class Stepper:
    """Takes one optimizer step after the other: all that happens between two batches of ``fit``.

    ``begin`` comes before the first step, and after ``restore`` where a run goes on.

    Args:
        net: The net to train, on its device; its weights are laid out for speed.
        objective: The loss.
        settings: Optimizer, rate, precision and what makes steps fast.
        world: The processes that share the run.
    """

    def __init__(self, net: Net, objective: Objective, settings: Train, world: World) -> None:
        self.net = net
        self.settings = settings
        self.rate = 0.0
        self._objective = objective
        self._world = world
        lay_out(net.module, world.device, settings.memory_format, settings.precision)
        own = () if objective.adapters is None else objective.adapters.parameters()
        self._optim = optimizer([*net.module.parameters(), *own], settings)
        self._scaler = torch.amp.GradScaler(enabled=settings.precision == "float16")

    def restore(self, saved: bytes) -> Progress:
        """Load a run's state, and return where it stands."""
        module, adapters = self.net.module, self._objective.adapters
        return states.restore(saved, module, self._optim, self._scaler, adapters)

    def save(self, progress: Progress) -> bytes:
        """Return the run's state."""
        module, adapters = self.net.module, self._objective.adapters
        return states.save(progress, module, self._optim, self._scaler, adapters)

    def begin(self) -> None:
        """Make net and objective ready to be called: data-parallel, compiled.

        A net that is looked into is not compiled: it would run without the hooks of its taps.
        """
        self._objective.spread(self._world)
        self.net = self._world.parallel(self.net)
        if self.settings.compile and not self._objective.looks_inside:
            called = self.net.parallel or self.net.module
            self.net = replace(self.net, parallel=compiled(called, self._world.device))

    def step(self, batch: Batch, number: int, steps: int) -> Mapping[str, Tensor]:
        """Take one step and return the terms of its loss, detached.

        Args:
            batch: What this process sees.
            number: Number of the step over the whole run, from 0.
            steps: Steps of one epoch.
        """
        self.rate = rate_at(number, steps, self.settings)
        self._objective.begin(number / (self.settings.epochs * steps))
        for group in self._optim.param_groups:
            group["lr"] = self.rate
        self._optim.zero_grad(set_to_none=True)
        with self._autocast(batch.images.device.type):
            terms = self._objective(self.net, batch)
        loss = torch.stack(list(terms.values())).sum() * batch.share
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(self._optim)
        self._scaler.update()
        return {name: term.detach() for name, term in terms.items()}

    def _autocast(self, device: str) -> AbstractContextManager[object]:
        dtype = _DTYPES.get(self.settings.precision)
        return nullcontext() if dtype is None else torch.autocast(device, dtype)


def _epoch(stepper: Stepper, net: Net, batches: Batches, number: int, hooks: Hooks) -> Epoch:
    started = told = time.perf_counter()
    torch.manual_seed(batches.epoch_seed(number))
    stepper.net.module.train()
    sums: dict[str, Tensor] = {}
    images, total = 0, batches.num_train
    for index, batch in enumerate(batches.epoch(number)):
        step = (number - 1) * batches.steps + index
        for name, term in stepper.step(batch, step, batches.steps).items():
            weighed = term * batch.counted
            sums[name] = sums[name] + weighed if name in sums else weighed
        images += batch.counted
        if batches.world.leads and time.perf_counter() - told > 1:
            told = time.perf_counter()
            hooks.beat(number, min(images * batches.world.size, total), total)
    terms = _means(sums, images, batches.world)
    _refuse_not_finite(terms, number)
    trained = time.perf_counter() - started
    world = batches.world
    validation = world.share(_validate(net, batches) if world.leads else None)
    whole = time.perf_counter() - started
    speed = total / trained
    return Epoch(number, sum(terms.values()), terms, validation, stepper.rate, speed, whole)


def _means(sums: Mapping[str, Tensor], images: int, world: World) -> dict[str, float]:
    """Return the mean of each term over the images of all processes."""
    first = next(iter(sums.values()))
    values = world.total(torch.stack([*sums.values(), torch.full_like(first, images)]).double())
    return {name: float(value / values[-1]) for name, value in zip(sums, values, strict=False)}


def _validate(net: Net, batches: Batches) -> dict[str, float | None]:
    return validation_scores(*batches.logits(net, "val"))


def _refuse_not_finite(terms: Mapping[str, float], epoch: int) -> None:
    bad = [name for name, value in terms.items() if not math.isfinite(value)]
    if bad:
        raise Diverged(
            f"epoch {epoch}",
            f"the loss term {bad[0]!r} is not finite.",
            "Lower the learning rate, or use precision float32.",
        )
