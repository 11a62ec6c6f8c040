"""A small data set, training runs on it, and somebody who kills who performs them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import torch

from kdray.learn import World
from kdray.run import training
from kdray.run.prepare import prepare_into
from kdray.run.training import Assignment
from kdray.spec.experiment import Data, Model, Train
from kdray.store import Store

DATA = {
    "source": {"name": "phantom", "params": {"num_images": 120}},
    "image_size": 32,
    "channels": 1,
}
MODEL = {"id": "cnn", "model": {"name": "cnn5", "params": {"widths": [4, 4, 8, 8, 8]}}}


def prepared(folder: Path) -> Store:
    """Return a storage with the data set."""
    made = Store(str(folder / "runs"))
    data = Data.model_validate(DATA)
    prepare_into(data, made.uri, "steps/prepare/data", "prepare", lambda event: None)
    return made


def assignment(name: str, train: Train) -> Assignment:
    """Return a training run."""
    return Assignment(
        path=f"steps/pretrain/{name}",
        key=name,
        label=name,
        step=f"pretrain/{name}",
        dataset="steps/prepare/data",
        role="teacher",
        model=Model.model_validate(MODEL),
        train=train,
        augment=Data.model_validate(DATA).augment,
        select="macro_f1",
        seed=0,
        method=None,
        view_seed=0,
        num_views=None,
        teachers=(),
        lineage={},
    )


def in_this_process(work: Assignment, store: Store) -> dict[str, torch.Tensor]:
    """Return the weights that the same run gives without Ray, without a disturbance."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _, fitted = training.run(work, store, World(), lambda event: None)
    finally:
        torch.set_num_threads(threads)
    store.delete(f"work/{work.key}")
    return dict(fitted.state)


class Killer:
    """Notes the events, and kills the process of a run after its first epoch, once.

    Args:
        run: Label of the run.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self.events: list[dict[str, Any]] = []
        self.has_killed = False

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event."""
        if event["kind"] == "epoch" and event["run"] == self._run and not self.has_killed:
            os.kill(event["pid"], signal.SIGKILL)
            self.has_killed = True
        self.events.append(event)

    @property
    def starts(self) -> list[str]:
        """The runs as they were started."""
        return [event["run"] for event in self.events if event["kind"] == "run_started"]
