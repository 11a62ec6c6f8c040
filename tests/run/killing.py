"""Searches of seconds: run in this process, undisturbed, or with workers that are killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from kdray.learn import Epoch, World
from kdray.run import training
from kdray.run.board import Board, Searching, Tell
from kdray.run.job import plan_job
from kdray.run.prepare import run_prepare
from kdray.run.searching import searching
from kdray.run.workers import Here
from kdray.spec import Experiment
from kdray.store import Store

#: What differs between two runs of the same trial.
_CLOCK = ("seconds",)


def quiet(event: dict[str, Any]) -> None:
    """Take an event and keep nothing."""


def ready(job: Experiment) -> tuple[Searching, Store]:
    """Prepare the data set of a job without teachers, and return its search and its storage."""
    plan, store = plan_job(job), Store(job.storage.uri)
    run_prepare(plan, store, quiet)
    work = searching(plan, store, Here())
    assert work is not None
    return work, store


def in_this_process(job: Experiment, folder: Path) -> list[dict[str, Any]]:
    """Return the trials of a job's search, run one after the other without Ray."""
    storage = job.storage.model_copy(update={"uri": str(folder)})
    work, store = ready(job.model_copy(update={"storage": storage}))
    board, threads = Board(work, store, quiet), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        board.restore()
        while (trial := board.next("it")) is not None:

            def told(epoch: Epoch, select: str = trial.select) -> bool:
                return board.report("it", epoch.epoch, epoch.score(select))

            training.run(trial, store, World(), quiet, told)
            board.done("it", "complete")
    finally:
        torch.set_num_threads(threads)
    return trials(store, work.path)


def trials(store: Store, path: str) -> list[dict[str, Any]]:
    """Return the trials of a finished search of one arm, without what depends on the clock."""
    (arm,) = store.finished(path)["arms"].values()
    return [{key: trial[key] for key in trial if key not in _CLOCK} for trial in arm["trials"]]


class Deadly(Board):
    """Kills the worker that tells of an epoch of a trial, while it waits for the answer.

    Args:
        work: The search.
        store: The storage.
        tell: Takes events.
        events: The events of the workers so far.
        trial: How the label of the trial ends: ``2/3``.
        epoch: The epoch.
    """

    def __init__(
        self,
        work: Searching,
        store: Store,
        tell: Tell,
        events: Sequence[Mapping[str, Any]],
        trial: str,
        epoch: int,
    ) -> None:
        super().__init__(work, store, tell)
        self._events = events
        self._trial = trial
        self._epoch = epoch
        self._victim = ""
        self.killed = False

    def next(self, name: str) -> training.Assignment | None:
        """Return the training run of the next trial."""
        work = super().next(name)
        if work is not None and work.label.endswith(f" {self._trial}"):
            self._victim = name
        return work

    def report(self, name: str, epoch: int, score: float) -> bool:
        """Take the score of an epoch."""
        if (name, epoch, self.killed) == (self._victim, self._epoch, False):
            deadline = time.monotonic() + 60
            while not (pids := started(self._events, self._trial)):
                assert time.monotonic() < deadline
                time.sleep(0.02)  # between two looks at what the relay has brought
            os.kill(pids[-1], signal.SIGKILL)
            self.killed = True
        return super().report(name, epoch, score)


def started(events: Sequence[Mapping[str, Any]], trial: str) -> list[int]:
    """Return the leading worker's process for each time that a trial was begun."""
    begun = [event for event in events if event["kind"] == "run_started"]
    return [event["pid"] for event in begun if event["run"].endswith(f" {trial}")]


def speeds(events: Sequence[Mapping[str, Any]], trial: str) -> dict[int, list[float]]:
    """Return the speeds that were told of each epoch of a trial.

    An epoch that was told again from a checkpoint has the speed of the first time; one that was
    trained again has another.
    """
    found: dict[int, list[float]] = {}
    for event in events:
        if event["kind"] == "epoch" and event["run"].endswith(f" {trial}"):
            found.setdefault(event["epoch"], []).append(event["images_per_s"])
    return found
