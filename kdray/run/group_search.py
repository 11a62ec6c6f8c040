"""The search on Ray Train: one group of workers shares each trial, one after the other."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
import ray.train

from kdray.errors import Diverged, KdrayError, RunError, StoreError
from kdray.learn import Epoch, World
from kdray.run import training
from kdray.run.board import Board
from kdray.run.group import Group, join, reason
from kdray.run.relay import Relay, beside
from kdray.run.training import Assignment
from kdray.store import Store

#: A question of a worker: what, and its facts.
Question = tuple[Any, ...]
#: Asks the driver, and waits for its answer.
Ask = Callable[..., Any]


def run_group_search(board: Board, group: Group) -> None:
    """Run the missing trials of a search, each in all workers of one group.

    Not a group for each trial: starting one takes longer than many a trial, and Ray Train inside
    Ray Tune may wait for ever for its place. A group that dies is started again; the trial that
    ran goes on from its last checkpoint, or is given up after ``max_failures`` deaths.

    Args:
        board: The search.
        group: The workers.

    Raises:
        RunError: Every trial of an arm failed, or the workers die before they get one.
    """
    if board.restore():
        clerk = _Clerk(board, group.max_failures)
        with _counter(clerk) as counter:
            while not clerk.is_over:
                try:
                    group.fit(_worker, counter=counter)
                except ray.train.TrainingFailedError as error:
                    clerk.died(reason(error))
        if clerk.failure is not None:
            raise clerk.failure
    board.close()


class _Clerk:
    """Answers the group from the board; a trial whose workers died is given out again."""

    def __init__(self, board: Board, max_failures: int) -> None:
        self._board = board
        self._max_failures = max_failures
        self._alone = threading.RLock()
        self._running: tuple[str, Assignment] | None = None
        self._stopped = False
        self._given = 0
        self._deaths = 0
        self._excused = False
        self.failure: Exception | None = None
        self.is_over = False

    def __call__(self, question: Question) -> tuple[bool, Any]:
        """Return whether there is an answer, and the answer or why not."""
        what, *facts = question
        answers: dict[str, Ask] = {"next": self._next, "report": self._report, "done": self._done}
        with self._alone:
            try:
                if self.failure is None:
                    return True, answers[what](*facts)
            except Exception as error:  # it ends the search, here and not in a thread
                self.failure, self.is_over = error, True
            return False, str(self.failure)

    def died(self, why: str) -> None:
        """Take note that the group has ended before its time."""
        with self._alone:
            if self._excused:
                self._excused = False
                return
            self._deaths += 1
            if self._deaths <= self._max_failures or self.failure is not None:
                return
            told = f"its workers failed {self._deaths} times, at last: {why}"
            if self._running is None:
                self.failure, self.is_over = RunError("search", told), True
            else:
                self._done(self._running[0], "failed", told)
                self._excused = False

    def _next(self) -> tuple[str, Assignment] | None:
        """Return name and training run of the trial that runs or comes next; None after all."""
        if self._running is None:
            name = str(self._given)
            work = self._board.next(name)
            if work is None:
                self.is_over = True
                return None
            self._running = (name, work)
            self._given += 1
            self._deaths, self._stopped, self._excused = 0, False, False
        return self._running

    def _report(self, name: str, epoch: int, score: float) -> bool:
        """Return whether the trial should stop, also if it was told so before it died."""
        self._stopped = self._board.report(name, epoch, score) or self._stopped
        return self._stopped

    def _done(self, name: str, state: str, error: str) -> None:
        self._board.done(name, state, error)
        self._running, self._deaths = None, 0
        self._excused = state == "failed"  # the group may have to be started again for it


class _Counter:
    """Where workers leave their questions and wait for the driver's answers."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[tuple[int, Question]] = asyncio.Queue()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._count = 0

    async def ask(self, question: Question) -> Any:
        self._count += 1
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[self._count] = waiting
        await self._asked.put((self._count, question))
        return await waiting

    async def take(self) -> tuple[int, Question]:
        return await self._asked.get()

    async def answer(self, number: int, answer: Any) -> None:
        self._waiting.pop(number).set_result(answer)


@contextmanager
def _counter(clerk: _Clerk) -> Iterator[Any]:
    """Give a counter whose questions the clerk answers in a thread of this process."""
    counter = beside(_Counter)
    stop = threading.Event()

    def serve() -> None:
        question = counter.take.remote()
        while not stop.is_set():
            if ray.wait([question], timeout=0.5)[0]:
                number, asked = ray.get(question)
                counter.answer.remote(number, clerk(asked))
                question = counter.take.remote()

    thread = threading.Thread(target=serve, name="kdray-search", daemon=True)
    thread.start()
    try:
        yield counter
    finally:
        stop.set()
        thread.join(timeout=5)
        ray.kill(counter)


def _worker(config: dict[str, Any]) -> None:
    world, store, counter = join(config), Store(config["store"]), config["counter"]

    def ask(*question: Any) -> Any:
        has_answer, answer = ray.get(counter.ask.remote(question))
        if not has_answer:
            raise RunError("", answer)
        return answer

    while True:
        given = world.share(ask("next") if world.leads else None)
        if given is None:
            return
        name, work = given
        if world.leads:
            _tell_start(work, config["relay"])
        state, error = _try(name, work, store, world, config["relay"], ask)
        if world.leads:
            ask("done", name, state, error)


def _tell_start(work: Assignment, relay: Relay) -> None:
    relay({"kind": "run_started", "step": work.step, "run": work.label, "pid": os.getpid()})


def _try(
    name: str, work: Assignment, store: Store, world: World, relay: Relay, ask: Ask
) -> tuple[str, str]:
    """Train one trial together with the other workers, and return its state and its error."""
    stopped = False

    def on_epoch(epoch: Epoch) -> bool:
        nonlocal stopped
        stopped = bool(ask("report", name, epoch.epoch, epoch.score(work.select)))
        return stopped

    try:
        training.run(work, store, world, relay, on_epoch)
    except Diverged as error:
        return "failed", str(error)  # all workers are here, and can go on
    except StoreError:
        raise  # the storage may answer again: another try goes on from the checkpoint
    except KdrayError as error:
        ask("done", name, "failed", str(error))
        raise  # the others may be waiting for this one: Ray ends them
    return ("pruned" if stopped else "complete"), ""
