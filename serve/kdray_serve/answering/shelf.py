"""Loaded models, each loaded once; those used longest ago leave when memory is short."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

#: How long a failure to load is told again without trying, seconds.
REMEMBERED = 5.0
_LOG = logging.getLogger(__name__)


class Heavy(Protocol):
    """What takes memory."""

    @property
    def bytes(self) -> int:
        """About what it takes."""


Name = TypeVar("Name", bound=Hashable)
Item = TypeVar("Item", bound=Heavy)


@dataclass
class _Place(Generic[Item]):
    item: Future[Item] = field(default_factory=Future)
    users: int = 0
    failed_at: float | None = None


class Shelf(Generic[Name, Item]):
    """Loaded things by name; any number of threads may use it.

    What is in use is never dropped, so that more than the budget may be loaded for a while.

    Args:
        load: Loads a thing and warms it up; slow.
        budget: Bytes that all of them may take.
        changed: Called with how many are loaded and their bytes, after each change.
        clock: Seconds that only rise.
    """

    def __init__(
        self,
        load: Callable[[Name], Item],
        budget: int,
        changed: Callable[[int, int], None] = lambda _count, _bytes: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._budget = budget
        self._changed = changed
        self._clock = clock
        self._lock = threading.Lock()
        self._total = 0
        self._places: OrderedDict[Name, _Place[Item]] = OrderedDict()

    @contextmanager
    def use(self, name: Name) -> Iterator[Item]:
        """Keep a thing loaded for a while; it is loaded where it is not.

        However many ask at once, one of them loads and the others wait for it.

        Raises:
            KdrayError: It cannot be loaded; told again for some seconds without another trial.
        """
        place, is_mine = self._taken(name)
        try:
            if is_mine:
                self._fill(name, place)
            yield place.item.result()
        finally:
            self._put_back(place)

    def warm(self, name: Name) -> None:
        """Load a thing where it is not loaded.

        Raises:
            KdrayError: It cannot be loaded.
        """
        with self.use(name):
            pass

    def has(self, name: Name) -> bool:
        """Return whether a thing is loaded, so that using it takes no time."""
        with self._lock:
            place = self._places.get(name)
            return place is not None and _is_there(place)

    def items(self) -> dict[Name, Item]:
        """Return what is loaded, that used longest ago first."""
        with self._lock:
            return {
                name: place.item.result()
                for name, place in self._places.items()
                if _is_there(place)
            }

    def _taken(self, name: Name) -> tuple[_Place[Item], bool]:
        """Return the place of a thing, now in use, and whether the caller has to fill it."""
        with self._lock:
            place = self._places.get(name)
            is_mine = place is None or self._is_stale(place)
            if place is None or is_mine:
                place = self._places[name] = _Place()
            self._places.move_to_end(name)
            place.users += 1
            return place, is_mine

    def _is_stale(self, place: _Place[Item]) -> bool:
        return place.failed_at is not None and self._clock() - place.failed_at >= REMEMBERED

    def _fill(self, name: Name, place: _Place[Item]) -> None:
        try:
            item = self._load(name)
        except BaseException as error:  # those who wait must be told, whatever it is
            place.failed_at = self._clock()
            place.item.set_exception(error)
            return
        place.item.set_result(item)
        with self._lock:
            self._total += item.bytes
            self._make_room()

    def _put_back(self, place: _Place[Item]) -> None:
        with self._lock:
            place.users -= 1
            if self._total > self._budget:
                self._make_room()

    def _make_room(self) -> None:
        """Drop what was used longest ago until the rest fits; the last one always stays."""
        loaded = {name: place for name, place in self._places.items() if _is_there(place)}
        for name, place in list(loaded.items()):
            if self._total <= self._budget or len(loaded) == 1:
                break
            if not place.users:
                self._total -= place.item.result().bytes
                del self._places[name], loaded[name]
                _LOG.info("dropped %s to free memory", name)
        self._changed(len(loaded), self._total)


def _is_there(place: _Place[Any]) -> bool:
    return place.item.done() and place.failed_at is None
