"""Where explanations are made: in this process, or, with Ray Serve, in another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from kdray.spec.service import Limits
from kdray_serve.answering.lines import Bounds, Line
from kdray_serve.answering.worker import Worker
from kdray_serve.meter import Meter
from kdray_serve.work import Explained, Key, Upload, Wish

#: After which a client that was refused an explanation may try again, seconds.
RETRY_SECONDS = 5


class Explaining(Protocol):
    """Makes explanations."""

    async def explain(self, key: Key, image: Upload, wish: Wish) -> Explained:
        """Return what a version says of an image, and where it looked.

        Raises:
            Refusal: It cannot be answered, too many wait, or it took too long.
        """

    async def ready(self) -> bool:
        """Return whether an explanation would be answered now."""


class Here:
    """Explanations in this process, in threads of their own.

    Args:
        worker: Makes them.
        limits: How many may wait, and how long.
        meter: Is told how long the queue is.
        threads: How many are made at once.
    """

    def __init__(
        self, worker: Worker, limits: Limits, meter: Meter | None = None, threads: int = 1
    ) -> None:
        self._worker = worker
        bounds = Bounds(limits.max_queued_requests, limits.explain_seconds, RETRY_SECONDS, threads)
        self._line: Line[tuple[Upload, Wish], Explained] = Line(
            "explanations", self._run, bounds, meter
        )

    @property
    def inside(self) -> int:
        """How many requests wait or run."""
        return self._line.inside

    @property
    def is_stuck(self) -> bool:
        """Whether no thread comes to an end any more."""
        return self._line.is_stuck

    async def explain(self, key: Key, image: Upload, wish: Wish) -> Explained:
        """Return what a version says of an image, and where it looked."""
        [answer] = await self._line.ask(key, [(image, wish)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ready(self) -> bool:
        """Return whether threads come to an end; models are loaded where they are needed."""
        return not self._line.is_stuck

    async def close(self) -> None:
        """End the thread; what waits is given up."""
        await asyncio.to_thread(self._line.close)

    def _run(self, key: Key, works: Sequence[tuple[Upload, Wish]]) -> list[Explained | Exception]:
        return [self._worker.explain(key, *work) for work in works]
