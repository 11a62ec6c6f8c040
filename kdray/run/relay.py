"""Events of workers on their way to the driver's journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

Event = dict[str, Any]
#: Takes one event of a worker; returns at once.
Tell = Callable[[Event], None]


class _Mailbox:
    """Holds events until the driver takes them."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def put(self, event: Event) -> None:
        self._events.append(event)

    def take(self) -> list[Event]:
        taken, self._events = self._events, []
        return taken


class Relay:
    """A handle that travels to workers and tells the driver what happens there."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox

    def __call__(self, event: Event) -> None:
        """Send an event without waiting."""
        self._mailbox.put.remote(event)


@contextmanager
def relay(tell: Tell, interval_s: float = 0.3) -> Iterator[Relay]:
    """Give a relay whose events reach ``tell`` from a thread of this process.

    Args:
        tell: Takes each event.
        interval_s: How often events are fetched.
    """
    mailbox = beside(_Mailbox)
    stop = threading.Event()

    def pump() -> None:
        while not stop.wait(interval_s):
            if not _drain(mailbox, tell):
                return

    thread = threading.Thread(target=pump, name="kdray-relay", daemon=True)
    thread.start()
    try:
        yield Relay(mailbox)
    finally:
        stop.set()
        thread.join(timeout=5)
        _drain(mailbox, tell)
        ray.kill(mailbox)


def beside(actor: type) -> Any:
    """Return a new actor on the node of this process: no other node's end takes it away."""
    node = ray.get_runtime_context().get_node_id()
    place = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=place)(actor).remote()


def _drain(mailbox: Any, tell: Tell) -> bool:
    try:
        for event in ray.get(mailbox.take.remote(), timeout=10):
            tell(event)
    except (ray.exceptions.RayError, RuntimeError):
        return False  # the session ends; events only inform
    return True
