"""Events of workers on their way to the driver's journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from kdray.run.session import first_of

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
    given = (mailbox, tell, stop, interval_s)
    thread = threading.Thread(target=_pump, args=given, name="kdray-relay", daemon=True)
    thread.start()
    try:
        yield Relay(mailbox)
    finally:
        stop.set()
        thread.join(timeout=30)
        ray.kill(mailbox)


def beside(actor: type) -> Any:
    """Return a new actor on the node of this process: no other node's end takes it away."""
    node = ray.get_runtime_context().get_node_id()
    place = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=place)(actor).remote()


def _pump(mailbox: Any, tell: Tell, stop: threading.Event, interval_s: float) -> None:
    """Tell the events as they come, and once it is stopped those that are left."""
    is_last = False
    try:
        while not is_last:
            is_last = stop.wait(interval_s)
            taken = mailbox.take.remote()
            for event in ray.get(first_of([taken])):  # a `get` that gives up would lose them
                tell(event)
    except (ray.exceptions.RayError, RuntimeError):
        pass  # the session ends; events only inform
    except AttributeError:
        if ray.is_initialized():
            raise
        # It has ended between two calls: Ray's worker loses its parts then.
