"""A version that is asked too: its answers are compared and counted, never returned."""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from kdray_serve.answering.worker import Worker
from kdray_serve.meter import Meter, Outcome
from kdray_serve.work import Key, Predicted, Upload

#: Requests that may wait; more are dropped: the shadow must not slow down what is returned.
WAITING = 32
#: Bytes of images that may wait.
HELD = 64 * 2**20
#: How long the end waits for what the shadow is at, seconds.
_END_SECONDS = 10.0
_LOG = logging.getLogger(__name__)
_Asked = tuple[Key, Sequence[Upload], Sequence[Predicted]]


class Shadowing:
    """Asks shadow versions, one request after the other, in a thread of its own.

    Args:
        worker: Answers.
        meter: Is told how the answers compare.
    """

    def __init__(self, worker: Worker, meter: Meter) -> None:
        self._worker = worker
        self._meter = meter
        self._queue: queue.Queue[_Asked | None] = queue.Queue(WAITING)
        self._lock = threading.Lock()
        self._counts: dict[Key, dict[Outcome, int]] = {}
        self._largest: dict[Key, float] = {}
        self._held = 0
        self._thread: threading.Thread | None = None

    def ask(self, key: Key, images: Sequence[Upload], returned: Sequence[Predicted]) -> None:
        """Compare what a shadow version says of images with what was returned, later."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="shadow", daemon=True)
            self._thread.start()
        size = _bytes_of(images)
        try:
            if self._held and self._held + size > HELD:
                raise queue.Full
            self._queue.put_nowait((key, images, returned))
            self._hold(size)
        except queue.Full:
            self._count(key, "dropped", math.nan)

    def counts(self) -> dict[str, Any]:
        """Return for each shadow version how its answers compared."""
        with self._lock:
            return {
                f"{name}@{number}": {
                    **{outcome: 0 for outcome in ("same", "different", "dropped", "failed")},
                    **counts,
                    "largest_difference": self._largest.get((name, number)),
                }
                for (name, number), counts in self._counts.items()
            }

    def close(self) -> None:
        """End the thread after what it is at; what waits is given up."""
        if self._thread is None:
            return
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self._queue.put(None)
        self._thread.join(_END_SECONDS)  # one that is stuck ends with the process
        self._thread = None

    def _serve(self) -> None:
        while (asked := self._queue.get()) is not None:
            self._do(*asked)
            self._hold(-_bytes_of(asked[1]))
            del asked  # images should not stay until the next ones

    def _do(self, key: Key, images: Sequence[Upload], returned: Sequence[Predicted]) -> None:
        try:
            answers = self._worker.predict(key, images)
        except Exception:  # whatever it is, it must not end the shadow
            _LOG.exception("the shadow %s@%s failed", *key)
            self._count(key, "failed", math.nan)
            return
        for answer, other in zip(answers, returned, strict=True):
            self._compare(key, answer, other)

    def _hold(self, size: int) -> None:
        with self._lock:
            self._held += size

    def _compare(self, key: Key, answer: Predicted | Exception, returned: Predicted) -> None:
        if isinstance(answer, Exception):
            self._count(key, "failed", math.nan)
            return
        same_classes = len(answer.probabilities) == len(returned.probabilities)
        if not same_classes:
            self._count(key, "different", math.nan)
            return
        difference = float(np.abs(answer.probabilities - returned.probabilities).max())
        self._count(key, "same" if answer.place == returned.place else "different", difference)

    def _count(self, key: Key, outcome: Outcome, difference: float) -> None:
        with self._lock:
            counts = self._counts.setdefault(key, {})
            counts[outcome] = counts.get(outcome, 0) + 1
            if difference >= self._largest.get(key, 0.0):
                self._largest[key] = difference
        self._meter.shadowed(key, outcome, difference)


def _bytes_of(images: Sequence[Upload]) -> int:
    contents = (image.content for image in images)
    return sum(one.nbytes if isinstance(one, np.ndarray) else len(one) for one in contents)
