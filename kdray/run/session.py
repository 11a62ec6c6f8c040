"""One Ray session for a whole run: joined where one is there, started on this machine else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from kdray.errors import KdrayError, RunError
from kdray.run.memory import memory_used
from kdray.run.shares import Node, Share, share_on
from kdray.spec.experiment import Resources

#: What to do about a process that is gone.
AGAIN = "Run the same command again."
#: Seconds for which an answer is waited for at a time.
_TURN_S = 1.0


class RayWorkers:
    """Tasks on the cluster of the session; a task whose process dies is done again.

    Args:
        share: What each task gets.
    """

    def __init__(self, share: Share) -> None:
        self._share = share

    @property
    def device(self) -> str:
        """Where their models compute."""
        return self._share.device

    @property
    def threads(self) -> int:
        """Threads of their tensor operations."""
        return self._share.threads

    def one(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what the function returns; on a CPU."""
        task = ray.remote(num_cpus=self._share.cpus, max_retries=3)(function)
        return value_of(task.remote(*args))

    def each(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each call and what it returned, as they finish."""
        share = self._share
        task = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_retries=3)(function)
        pending = {task.remote(*args): index for index, args in enumerate(calls)}
        while pending:
            done = first_of(list(pending))
            yield pending.pop(done), value_of(done)


def limit_memory(device: str, gpus: float) -> None:
    """Leave the others that share this process's GPU their part of its memory.

    Args:
        device: Where this process computes.
        gpus: What it was given; whole GPUs are its own.
    """
    if device.startswith("cuda") and 0 < gpus < 1:
        import torch  # takes seconds, and the driver has no use for it

        torch.cuda.set_per_process_memory_fraction(gpus, device)


@contextmanager
def session(num_cpus: int | None = None) -> Iterator[None]:
    """Join the Ray session of this process or of ``RAY_ADDRESS``, or start one here.

    A session that was started here ends with the block.

    Args:
        num_cpus: CPUs of one that is started here; None: all of the machine.
    """
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS") or "local"
    start(address, num_cpus if address == "local" else None)
    try:
        yield
    finally:
        ray.shutdown()


def start(address: str, num_cpus: int | None = None, tries: int = 3) -> None:
    """Join Ray at an address, or start it on this machine for ``local``.

    A small busy machine can miss Ray's fixed start-up limit of 30 s: it gets further tries.

    Raises:
        RunError: Ray does not start or answer.
    """
    local = address == "local"
    for left in reversed(range(tries if local else 1)):
        try:
            ray.init(
                address=address,
                num_cpus=num_cpus,
                include_dashboard=False if local else None,
                log_to_driver=False,
                logging_level="ERROR",
            )
            return
        except Exception as error:  # Ray raises bare ones here
            ray.shutdown()
            if not left:
                raise RunError(
                    f"Ray ({address})",
                    f"does not start or answer: {_said(error)}",
                    "See `kdray doctor --ray`.",
                ) from error


def _said(error: Exception) -> str:
    """Return the first line of what Ray says; all where versions differ, which fill several."""
    lines = (str(error).splitlines() or [repr(error)])[:8]
    return " ".join(" ".join(lines if lines[0].startswith("Version") else lines[:1]).split())


def first_of(references: Sequence[Any]) -> Any:
    """Wait for the first of several answers, and return its reference.

    It waits in short turns: while Ray waits, a thread cannot be stopped.
    """
    while not (done := ray.wait(list(references), num_returns=1, timeout=_TURN_S)[0]):
        pass
    return done[0]


def value_of(reference: Any) -> Any:
    """Return what a task returned, or raise its error as the task raised it.

    Raises:
        KdrayError: The task's own error.
        RunError: The task failed in another way, or its process died too often.
    """
    try:
        return ray.get(first_of([reference]))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, KdrayError):
            raise error.cause from None
        raise RunError("", f"a task failed: {error}") from error
    except ray.exceptions.RayError as error:
        raise RunError("", f"a task was lost: {lost(error)}.", AGAIN) from error


def lost(error: BaseException) -> str:
    """Return what Ray says of a process that is gone."""
    used = memory_used(str(error))
    return str(error) if used is None else f"its node ran out of memory{used}"


def share_of(resources: Resources, at_once: int) -> Share:
    """Return what each of ``at_once`` workers or trials gets of the nodes that are up.

    Raises:
        RunError: They can never give it to so many at once, and no more are waited for.
    """
    return share_on(() if resources.autoscale else up(), resources, at_once)


def up() -> list[Node]:
    """Return CPUs and GPUs of each node that is up."""
    return [
        (node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
        for node in ray.nodes()
        if node["Alive"]
    ]
