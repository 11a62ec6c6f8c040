"""One Ray session for a whole run: joined where one is there, started on this machine else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from kdray.errors import KdrayError, RunError
from kdray.spec.experiment import Resources


@dataclass(frozen=True)
class Share:
    """What one worker or trial gets.

    Args:
        cpus: CPUs, also its number of threads (at least 1).
        gpus: GPUs, or a part of one.
    """

    cpus: float
    gpus: float

    @property
    def device(self) -> str:
        """Where it computes."""
        return "cuda" if self.gpus > 0 else "cpu"

    @property
    def threads(self) -> int:
        """Threads of its tensor operations."""
        return max(1, int(self.cpus))

    def as_ray(self) -> dict[str, float]:
        """Return the share as Ray's resources."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}


@contextmanager
def session() -> Iterator[None]:
    """Join the Ray session of this process or of ``RAY_ADDRESS``, or start one here.

    A session that was started here ends with the block.
    """
    if ray.is_initialized():
        yield
        return
    start(os.environ.get("RAY_ADDRESS") or "local")
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
                    f"does not start or answer: {str(error).splitlines()[0]}",
                    "See `kdray doctor --ray`.",
                ) from error


def value_of(reference: Any) -> Any:
    """Return what a task returned, or raise its error as the task raised it.

    Raises:
        KdrayError: The task's own error.
        RunError: The task failed in another way, or its process died too often.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, KdrayError):
            raise error.cause from None
        raise RunError("", f"a task failed: {error}") from error
    except ray.exceptions.RayError as error:
        raise RunError("", f"a task was lost: {error}.", "Run the same command again.") from error


def share_of(resources: Resources, at_once: int) -> Share:
    """Return what each of ``at_once`` workers or trials gets.

    Raises:
        RunError: The cluster can never give it.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    total = sum(node.get("CPU", 0.0) for node in nodes)
    cpus = resources.cpus_per_worker or max(min(most, total / at_once), 0.01)
    if cpus >= 1:
        cpus = float(int(cpus))
    gpus = resources.gpus_per_worker
    if cpus > most or not any(node.get("GPU", 0.0) >= min(gpus, 1) or not gpus for node in nodes):
        have = ", ".join(
            f"{node.get('CPU', 0):g} CPU {node.get('GPU', 0):g} GPU" for node in nodes
        )
        raise RunError(
            "resources",
            f"no node has {cpus:g} CPU and {gpus:g} GPU for one worker (nodes: {have}).",
            "Lower cpus_per_worker or gpus_per_worker.",
        )
    if cpus * at_once > total:
        raise RunError(
            "resources",
            f"{at_once} workers of {cpus:g} CPU need more than the cluster's {total:g}.",
            "Lower workers or cpus_per_worker.",
        )
    return Share(cpus, gpus)
