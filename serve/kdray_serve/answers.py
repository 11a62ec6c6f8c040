"""Who answers the requests of the application; in this process, by threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from kdray_serve.catalogue import Key
from kdray_serve.refusal import busy
from kdray_serve.schema import Explanation, Prediction

if TYPE_CHECKING:
    from kdray_serve.service import Models  # loads torch, which an ingress does not need

Result = TypeVar("Result")


class Answers(Protocol):
    """Answers requests; the application does not know where the models are."""

    async def predict(self, model: Key, data: bytes) -> Prediction:
        """Return the probabilities for an image file, or raise a Refusal."""

    async def explain(
        self, model: Key, data: bytes, method: str | None, target: str | None
    ) -> Explanation:
        """Return probabilities and heat map for an image file, or raise a Refusal."""

    async def ready(self) -> bool:
        """Return whether predictions and explanations would be answered now."""


class Here:
    """Answers in this process; explanations have a thread of their own.

    Args:
        models: The loaded models.
        threads: Predictions at once.
        max_queued: Requests of a kind that may wait or run; more are refused as busy.
    """

    def __init__(self, models: Models, threads: int = 1, max_queued: int = 64) -> None:
        self._models = models
        self._predictions = _Line("predictions", threads, max_queued)
        self._explanations = _Line("explanations", 1, max_queued)

    async def predict(self, model: Key, data: bytes) -> Prediction:
        """Return the probabilities for an image file, or raise a Refusal."""
        return await self._predictions.run(lambda: self._models.predict(model, data))

    async def explain(
        self, model: Key, data: bytes, method: str | None, target: str | None
    ) -> Explanation:
        """Return probabilities and heat map for an image file, or raise a Refusal."""
        return await self._explanations.run(
            lambda: self._models.explain(model, data, method, target)
        )

    async def ready(self) -> bool:
        """Return True: the models are loaded."""
        return True


class _Line:
    """Threads for one kind of request, and how many may wait for them."""

    def __init__(self, name: str, threads: int, max_queued: int) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._max_queued = max_queued
        self._inside = 0  # changed by the event loop alone

    async def run(self, work: Callable[[], Result]) -> Result:
        if self._inside >= self._max_queued:
            raise busy(self._name)
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._inside -= 1
