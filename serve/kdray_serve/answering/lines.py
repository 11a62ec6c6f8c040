"""Work that waits for threads: in batches, within limits of number and time."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from kdray_serve.meter import LineName, Meter, Silent
from kdray_serve.refusal import Refusal, busy
from kdray_serve.work import Key

Work = TypeVar("Work")
Answer = TypeVar("Answer")
#: Does works of one model; an error is the answer of the one work that it is about.
Run = Callable[[Key, Sequence[Work]], Sequence[Answer | Exception]]


@dataclass(frozen=True)
class Bounds:
    """How much may wait, and how it is put together.

    Args:
        requests: How many may wait or run; more are refused.
        seconds: How long a request may take, waiting included.
        retry_seconds: After which a refused client may try again.
        threads: How many batches run at once.
        max_size: Most works of a batch.
        wait_ms: How long the first work of a batch waits for others.
    """

    requests: int = 64
    seconds: float = 10.0
    retry_seconds: int = 1
    threads: int = 1
    max_size: int = 1
    wait_ms: float = 0.0


@dataclass
class _Request(Generic[Work, Answer]):
    """The works of one request; its future is set when the last of them is done."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[Answer | Exception]]
    answers: list[Any]
    left: int
    gone: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, place: int, answer: Answer | Exception) -> bool:
        """Take an answer; return whether it was the last."""
        with self.lock:
            self.answers[place] = answer
            self.left -= 1
            return self.left == 0


#: How often the time of a request a batch may take before its thread counts as stuck.
_STUCK = 2
#: How long the end of the line waits for what its threads are at, seconds.
_END_SECONDS = 10.0
_LOG = logging.getLogger(__name__)
_Waiting = tuple[_Request[Any, Any], int, Any]


class Line(Generic[Work, Answer]):
    """A queue for each model, and the threads that empty them; oldest first.

    A lone work starts at once. What arrives while all threads are busy is put together, up to the
    largest batch, shared out among the threads that are free.

    Args:
        name: What is queued for, in messages and metrics.
        run: Does a batch.
        bounds: How much may wait, and how it is put together.
        meter: Is told how long the queue is, and what was refused.
    """

    def __init__(
        self,
        name: LineName,
        run: Run[Work, Answer],
        bounds: Bounds,
        meter: Meter | None = None,
    ) -> None:
        self._name = name
        self._run = run
        self._bounds = bounds
        self._meter = meter or Silent()
        self._queues: OrderedDict[Key, deque[_Waiting]] = OrderedDict()
        self._wake = threading.Condition()
        self._idle = 0
        self._closed = False
        self._inside = 0  # changed by the event loop alone
        self._began: dict[int, float] = {}  # thread -> when the batch that it is at was begun
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True)
            for number in range(bounds.threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def inside(self) -> int:
        """How many requests wait or run."""
        return self._inside

    @property
    def is_stuck(self) -> bool:
        """Whether all threads are at batches that nobody has waited for for a while."""
        long_ago = time.monotonic() - _STUCK * self._bounds.seconds
        began = list(self._began.values())
        return len(began) == len(self._threads) and max(began) < long_ago

    async def ask(
        self,
        key: Key,
        works: Sequence[Work],
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> list[Answer | Exception]:
        """Return the answers to the works of one request, in their order.

        Works of a request that is cancelled or out of time are not begun.

        Args:
            key: Which model does them.
            works: One or more.
            before: What to wait for before they are queued, within the same limits.

        Raises:
            Refusal: Too many wait (503), or it took too long (504).
        """
        if self._inside >= self._bounds.requests:
            self._meter.refused(self._name, 503)
            raise busy(self._name, self._bounds.retry_seconds)
        self._count(1)
        try:
            async with asyncio.timeout(self._bounds.seconds):
                if before is not None:
                    await before()
                return await self._answers(key, works)
        except TimeoutError:
            self._meter.refused(self._name, 504)
            limit = f"{self._bounds.seconds:g} s"
            detail = f"This took longer than {limit}, the limit for {self._name}."
            raise Refusal(504, f"{detail} Try again when the service is less busy.") from None
        finally:
            self._count(-1)

    def close(self, seconds: float = _END_SECONDS) -> None:
        """End the threads once they have done what they are at; what waits is given up.

        Args:
            seconds: How long to wait for them; one that is stuck ends with the process.
        """
        end = time.monotonic() + seconds
        with self._wake:
            self._closed = True
            self._queues.clear()
            self._wake.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                _LOG.error("%s: a model does not come to an end; it is given up", self._name)

    def _count(self, change: int) -> None:
        self._inside += change
        self._meter.queue(self._name, self._inside)

    async def _answers(self, key: Key, works: Sequence[Work]) -> list[Answer | Exception]:
        loop = asyncio.get_running_loop()
        request: _Request[Work, Answer] = _Request(
            loop, loop.create_future(), [None] * len(works), len(works)
        )
        with self._wake:
            queue = self._queues.setdefault(key, deque())
            queue.extend((request, place, work) for place, work in enumerate(works))
            self._wake.notify(min(len(works), self._bounds.threads))
        try:
            return await request.future
        finally:
            request.gone = True

    def _serve(self) -> None:
        while True:
            key, batch = self._next()
            if key is None:
                return
            self._began[threading.get_ident()] = time.monotonic()
            self._do(key, batch)
            del self._began[threading.get_ident()]
            del batch  # images of a request should not stay until the next one

    def _do(self, key: Key, batch: Sequence[_Waiting]) -> None:
        try:
            answers = self._run(key, [work for _, _, work in batch])
        except Exception as error:  # whoever waits is told, and the thread lives on
            answers = [error] * len(batch)
        done: dict[asyncio.AbstractEventLoop, list[_Request[Any, Any]]] = {}
        for (request, place, _), answer in zip(batch, answers, strict=True):
            if request.put(place, answer):
                done.setdefault(request.loop, []).append(request)
        for loop, requests in done.items():
            with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, requests)

    def _next(self) -> tuple[Key | None, list[_Waiting]]:
        """Return the next batch and its model; None when there will be no more."""
        with self._wake:
            while True:
                self._idle += 1
                self._wake.wait_for(lambda: self._closed or bool(self._queues))
                self._idle -= 1
                if self._closed:
                    return None, []
                key = next(iter(self._queues))
                self._wait_for_others(key)
                batch = self._taken(key)
                if batch:
                    return key, batch

    def _wait_for_others(self, key: Key) -> None:
        if not self._bounds.wait_ms:
            return
        end = time.monotonic() + self._bounds.wait_ms / 1000
        while len(self._queues.get(key, ())) < self._bounds.max_size and not self._closed:
            left = end - time.monotonic()
            if left <= 0 or not self._wake.wait(left):
                return

    def _taken(self, key: Key) -> list[_Waiting]:
        """Take this thread's share of what waits for a model; that model then comes last."""
        queue = self._queues.pop(key, None)
        if queue is None:  # another thread was faster
            return []
        share = -(-len(queue) // (self._idle + 1))
        batch: list[_Waiting] = []
        while queue and len(batch) < min(share, self._bounds.max_size):
            waiting = queue.popleft()
            if not waiting[0].gone:
                batch.append(waiting)
        if queue:
            self._queues[key] = queue
            self._wake.notify()
        return batch


def _settle(requests: Sequence[_Request[Any, Any]]) -> None:
    """Wake who waits; runs in their event loop."""
    for request in requests:
        if not request.future.done():  # else nobody waits for it any more
            request.future.set_result(request.answers)
