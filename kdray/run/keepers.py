"""Processes that stay for a whole step: what they have loaded serves one call after the other."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray

from kdray.errors import RunError
from kdray.run.session import AGAIN, RayWorkers, first_of, lost, up, value_of
from kdray.run.shares import Share, keepers_on
from kdray.spec.experiment import Resources

#: Deaths of processes that one call survives.
TRIES = 3


class RayKeepers(RayWorkers):
    """Like ``RayWorkers``, in few processes, which stay until the ``with`` block ends.

    A task on a GPU would have a process of its own, and load its model anew. A call whose process
    dies is done again in a new one.

    Args:
        share: What each process gets.
        count: How many processes, at most.
        first: How many start with the first call, however few calls there are.
        tries: Deaths of processes that one call survives.
    """

    def __init__(self, share: Share, count: int, first: int = 1, tries: int = TRIES) -> None:
        super().__init__(share)
        self._count = count
        self._first = first
        self._crew = _Crew(share, tries)

    def __enter__(self) -> RayKeepers:
        return self

    def __exit__(self, *_error: object) -> None:
        self._crew.dismiss()

    def one(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what the function returns; the others may start meanwhile."""
        return next(value for _, value in self.each(function, [args]))

    def each(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each call and what it returned, as they finish.

        Raises:
            RunError: The processes of a call died too often.
        """
        todo, left, crew = deque(range(len(calls))), len(calls), self._crew
        while crew.size < min(self._count, max(left, self._first)):
            crew.hire()
        while left:
            while todo and crew.idle:
                crew.give(todo[0], function, calls[todo.popleft()])
            index, reference = crew.next()
            if crew.has_died(index, reference):
                todo.extendleft(() if index is None else (index,))
                crew.hire()
            elif index is not None:
                left -= 1
                yield index, value_of(reference)


def keepers_of(resources: Resources) -> RayKeepers:
    """Return processes on every node of the cluster, by which a teacher's looks are shared."""
    return RayKeepers(*keepers_on(up(), resources))


class _Keeper:
    """A process that performs calls."""

    def __init__(self) -> None:  # Ray looks at its signature, and `object` has none
        pass

    def ready(self) -> None:
        """Return once it runs."""

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


class _Crew:
    """The keepers and what they do; only one that runs is given a call."""

    def __init__(self, share: Share, tries: int) -> None:
        self._share = share
        self._tries = tries
        self._hired: list[Any] = []
        self._waiting: dict[Any, tuple[Any, int | None]] = {}
        self._deaths: Counter[int | None] = Counter()
        self.idle: list[Any] = []

    @property
    def size(self) -> int:
        """How many live."""
        return len(self._hired)

    def hire(self) -> None:
        kind: Any = ray.remote(num_cpus=self._share.cpus, num_gpus=self._share.gpus)(_Keeper)
        keeper = kind.remote()
        self._hired.append(keeper)
        self._waiting[keeper.ready.remote()] = (keeper, None)

    def give(self, index: int, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Give an idle keeper a call."""
        keeper = self.idle.pop()
        self._waiting[keeper.call.remote(function, *args)] = (keeper, index)

    def next(self) -> tuple[int | None, Any]:
        """Wait for a keeper to be free; return the number of its call, and the answer."""
        done = first_of(list(self._waiting))
        keeper, index = self._waiting.pop(done)
        self.idle.append(keeper)
        return index, done

    def has_died(self, index: int | None, reference: Any) -> bool:
        """Return whether the keeper that was waited for last died before it answered.

        Raises:
            RunError: It is not the first to die of this call.
        """
        try:
            ray.get(reference)
        except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
            self._hired.remove(self.idle.pop())
            self._deaths[index] += 1
            if self._deaths[index] > self._tries:
                problem = f"a process died {self._tries + 1} times: {lost(error)}"
                raise RunError("", problem, AGAIN) from error
            return True
        except ray.exceptions.RayError:
            return False  # the call's own error: `value_of` raises it
        return False

    def dismiss(self) -> None:
        for keeper in self._hired:
            ray.kill(keeper)
