"""Processes that stay for a whole step: what they have loaded serves one call after the other."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray

from kdray.errors import RunError
from kdray.run.session import RayWorkers, Share, even, fitting, up, value_of
from kdray.spec.experiment import Resources

#: Processes to ask for on a cluster that may grow.
GROWN = 64
#: Deaths of processes that one call survives.
TRIES = 3


class RayKeepers(RayWorkers):
    """Like ``RayWorkers``, in few processes, which end with the last call.

    A task on a GPU would have a process of its own, and load its model anew. A call whose process
    dies is done again in a new one.

    Args:
        share: What each process gets.
        count: How many processes, at most.
    """

    def __init__(self, share: Share, count: int) -> None:
        super().__init__(share)
        self._count = count

    def each(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each call and what it returned, as they finish.

        Raises:
            RunError: The processes of a call died too often.
        """
        crew = _Crew(self._share, function)
        todo, left = deque(range(len(calls))), len(calls)
        try:
            for _ in range(min(self._count, left)):
                crew.hire()
            while left:
                keeper, index, reference = crew.next()
                if crew.has_died(index, reference):
                    todo.extendleft(() if index is None else (index,))
                    crew.hire()
                    continue
                if todo:
                    crew.give(keeper, todo[0], calls[todo.popleft()])
                if index is not None:
                    left -= 1
                    yield index, value_of(reference)
        finally:
            crew.dismiss()


def keepers_of(resources: Resources) -> RayKeepers:
    """Return processes on every node of the cluster, as many as a teacher's looks are shared by.

    Each has the GPUs of a worker, or its CPUs: a quarter of a node's where that is left open. On a
    cluster that may grow, more are asked for than there is room for.
    """
    nodes = up()
    quarter = max((cpus for cpus, _ in nodes), default=1.0) / 4
    cpus = even(resources.cpus_per_worker or max(1.0, quarter))
    count = sum(fitting(node, cpus, resources.gpus_per_worker) for node in nodes)
    more = GROWN if resources.autoscale else 0
    return RayKeepers(Share(cpus, resources.gpus_per_worker), max(1, count, more))


class _Keeper:
    """A process that performs calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def ready(self) -> None:
        """Return once it runs."""

    def call(self, *args: Any) -> Any:
        return self._function(*args)


class _Crew:
    """The keepers of a step and what they do; only one that runs is given a call."""

    def __init__(self, share: Share, function: Callable[..., Any]) -> None:
        self._kind: Any = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus)(_Keeper)
        self._function = function
        self._hired: list[Any] = []
        self._waiting: dict[Any, tuple[Any, int | None]] = {}
        self._deaths: Counter[int | None] = Counter()

    def hire(self) -> None:
        keeper = self._kind.remote(self._function)
        self._hired.append(keeper)
        self._waiting[keeper.ready.remote()] = (keeper, None)

    def give(self, keeper: Any, index: int, args: tuple[Any, ...]) -> None:
        self._waiting[keeper.call.remote(*args)] = (keeper, index)

    def next(self) -> tuple[Any, int | None, Any]:
        """Wait for a keeper to be free; return it, the number of its call, and the answer."""
        done, _ = ray.wait(list(self._waiting), num_returns=1)
        return *self._waiting.pop(done[0]), done[0]

    def has_died(self, index: int | None, reference: Any) -> bool:
        """Return whether the keeper died before it answered.

        Raises:
            RunError: It is not the first to die of this call.
        """
        try:
            ray.get(reference)
        except ray.exceptions.RayActorError as error:
            self._deaths[index] += 1
            if self._deaths[index] > TRIES:
                problem = f"a process died {TRIES + 1} times: {error}"
                raise RunError("", problem, "Run the same command again.") from error
            return True
        except ray.exceptions.RayError:
            return False  # the call's own error: `value_of` raises it
        return False

    def dismiss(self) -> None:
        for keeper in self._hired:
            ray.kill(keeper)
