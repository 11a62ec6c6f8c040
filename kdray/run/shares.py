"""What each process of a job gets of given nodes: CPUs, GPUs, and how many find room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kdray.errors import RunError
from kdray.spec.experiment import Resources

#: CPUs and GPUs of a node.
Node = tuple[float, float]
#: Processes to ask for on a cluster that may grow.
GROWN = 64


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


def share_on(nodes: Sequence[Node], resources: Resources, at_once: int) -> Share:
    """Return what each of ``at_once`` workers or trials gets of nodes.

    With ``autoscale`` the nodes that are up are no limit: more are waited for.

    Args:
        nodes: CPUs and GPUs of each node that is up.
        resources: What the job says.
        at_once: Workers or trials.

    Raises:
        RunError: The nodes can never give it to so many at once.
    """
    gpus = resources.gpus_per_worker
    if resources.autoscale:
        return Share(even(resources.cpus_per_worker or 1.0), gpus)
    cpus = even(resources.cpus_per_worker or even_cpus(nodes, gpus, at_once))
    num_fit = sum(fitting(node, cpus, gpus) for node in nodes)
    if num_fit >= at_once:
        return Share(cpus, gpus)
    have = ", ".join(
        f"{f'{count} x ' if count > 1 else ''}{cpu:g} CPU {gpu:g} GPU"
        for (cpu, gpu), count in Counter(nodes).items()
    )
    raise RunError(
        "resources",
        f"{at_once} at once of {cpus:g} CPU and {gpus:g} GPU each: the cluster has room for "
        f"{num_fit} (nodes: {have or 'none'}).",
        "Lower workers, search.concurrent, cpus_per_worker or gpus_per_worker; or, where the "
        "cluster grows by itself, set resources.autoscale: true.",
    )


def room_on(nodes: Sequence[Node], resources: Resources) -> int:
    """Return how many trials nodes have room for at once; at least 1.

    A trial takes ``cpus_per_worker`` CPUs, or one where that is left open.
    """
    cpus = even(resources.cpus_per_worker or 1.0)
    return max(1, sum(fitting(node, cpus, resources.gpus_per_worker) for node in nodes))


def solo_on(nodes: Sequence[Node], resources: Resources, runs: int) -> tuple[Share, int]:
    """Return what each training run of one process gets, and how many go on at once, at most.

    Args:
        nodes: CPUs and GPUs of each node that is up.
        resources: What the job says.
        runs: How many there are to train.

    Raises:
        RunError: The nodes can never give it to one.
    """
    # Each GPU has its run; on CPUs one run has a whole node, unless the job says less.
    at_once = min(runs, room_on(nodes, resources)) if resources.gpus_per_worker else 1
    share = share_on(nodes, resources, at_once)
    room = sum(fitting(node, share.cpus, share.gpus) for node in nodes)
    return share, min(runs, max(room, GROWN if resources.autoscale else 1))


def keepers_on(nodes: Sequence[Node], resources: Resources) -> tuple[Share, int, int]:
    """Return what each process that records a teacher gets, how many there are, and start.

    Each has the GPUs of a worker, or its CPUs: a quarter of a node's where that is left open. On a
    cluster that may grow, more are asked for than there is room for.
    """
    gpus = resources.gpus_per_worker
    quarter = max((cpus for cpus, own in nodes if own >= gpus), default=1.0) / 4
    cpus = even(resources.cpus_per_worker or max(1.0, quarter))
    count = sum(fitting(node, cpus, gpus) for node in nodes)
    more = GROWN if resources.autoscale else 0
    return Share(cpus, gpus), max(1, count, more), max(1, count)


def even_cpus(nodes: Sequence[Node], gpus: float, at_once: int) -> float:
    """Return the most CPUs that each of ``at_once`` workers can have; whole ones from 1 on.

    Args:
        nodes: CPUs and GPUs of each node.
        gpus: GPUs of a worker.
        at_once: Workers.
    """
    shares = {cpu / count for cpu, _ in nodes if cpu for count in range(1, at_once + 1)}
    rounded = sorted({even(share) for share in shares})
    enough = [share for share in rounded if sum(fitting(n, share, gpus) for n in nodes) >= at_once]
    return enough[-1] if enough else 1.0


def even(cpus: float) -> float:
    """Return CPUs as Ray counts them: whole ones, or ten-thousandths of one."""
    return float(int(cpus)) if cpus >= 1 else max(int(cpus * 10_000 + 1e-6), 1) / 10_000


def fitting(node: Node, cpus: float, gpus: float) -> int:
    """Return how many workers a node has room for."""
    room = int(node[0] / cpus + 1e-9)
    if gpus <= 0:
        return room
    # Ray gives several parts of a GPU from one GPU, several GPUs whole.
    of_gpus = int(node[1]) * int(1 / gpus + 1e-9) if gpus < 1 else int(node[1] / gpus + 1e-9)
    return min(room, of_gpus)
