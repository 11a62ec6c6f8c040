"""A thread that writes down what requests hand it, so that they need not wait for the storage."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from kdray.errors import KdrayError

Item = TypeVar("Item")
_LOG = logging.getLogger("kdray.storage")
#: After a failure, until the next try, seconds.
_RETRY_S = 1.0
#: When nothing has come for so long, seconds, there is time for what ``idle`` does.
_IDLE_S = 1.0


class Background(Generic[Item]):
    """A bounded queue of items and the thread that writes them, in their order, none twice.

    Args:
        name: What is written, for messages.
        write: Writes items, all or none; may be slow, and may raise.
        every_s: How long items are collected before they are written; 0: not at all.
        batch: How many items are written at once without waiting for more.
        limit: Most items that wait.
        idle: Called when there was nothing to write for a second; None: nothing is.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[list[Item]], None],
        *,
        every_s: float = 0.0,
        batch: int = 500,
        limit: int = 10_000,
        idle: Callable[[], None] | None = None,
    ) -> None:
        self._name = name
        self._write = write
        self._every_s, self._batch, self._limit = every_s, batch, limit
        self._idle = idle
        self._items: deque[Item] = deque()
        self._any, self._enough, self._closing = (threading.Event() for _ in range(3))
        self._writing = 0
        self.failures = 0
        self._thread = threading.Thread(target=self._run, name=f"kdray-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many items are not written yet."""
        return len(self._items) + self._writing

    def put(self, item: Item) -> bool:
        """Queue an item; return whether there was room for it."""
        if len(self._items) >= self._limit or self._closing.is_set():
            return False
        self._items.append(item)
        self._any.set()
        if len(self._items) >= self._batch:
            self._enough.set()
        return True

    def close(self, timeout_s: float = 30.0) -> None:
        """Write what waits, and end the thread.

        Args:
            timeout_s: How long to wait for a slow storage.
        """
        self._closing.set()
        self._any.set()
        self._enough.set()
        self._thread.join(timeout_s)
        if self.waiting:
            _LOG.error(
                "%s: %d entries could not be written and are lost", self._name, self.waiting
            )

    def _run(self) -> None:
        while not (self._closing.is_set() and not self._items):
            if self._idle is not None and not self._any.wait(_IDLE_S):
                self._idle()
            self._any.wait()
            if self._every_s:
                self._enough.wait(self._every_s)
            self._any.clear()
            self._enough.clear()
            items = [self._items.popleft() for _ in range(len(self._items))]
            if items and not self._written(items):
                return

    def _written(self, items: list[Item]) -> bool:
        """Write items, however often it takes; return whether that was possible."""
        self._writing = len(items)
        while True:
            is_last = self._closing.is_set()
            try:
                self._write(items)
            except (KdrayError, OSError) as error:
                self.failures += 1
                _LOG.error("%s cannot be written: %s", self._name, error)
                if is_last:
                    return False
                self._closing.wait(_RETRY_S)
            except Exception:  # ours, not the storage's: the same again would fail for ever
                _LOG.exception("%s: %d entries are lost", self._name, len(items))
                self._writing = 0
                return True
            else:
                self._writing = 0
                return True
