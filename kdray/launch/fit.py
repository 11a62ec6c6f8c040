"""What a job asks of a place, and which nodes it would bring up: known before it is sent."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kdray.errors import LaunchError, NeverFits
from kdray.launch.demands import Demand, demands_of, demands_of_service
from kdray.launch.order import order_id
from kdray.launch.place import Order
from kdray.launch.scheduling import Group, read_groups, schedule, this_machine
from kdray.plan.read import experiments_of
from kdray.spec import Experiment, Service, Suite
from kdray.spec.target import Kubernetes, RayCluster, Target

Job = Experiment | Suite | Service

#: Said of jobs that do not use what a target could bring up.
_FIXED = "made for the nodes up from the start: resources.autoscale is false"
#: What helps where nodes are there only once they are asked for.
_GROW = (
    "The target brings up nodes for jobs that wait for them: set resources.autoscale: true, or "
    "`min` of its groups."
)
#: Stage -> what to lower where it finds no room.
_LOWER = {
    "search": "search.concurrent, search.workers, resources.cpus_per_worker or gpus_per_worker",
    "serve": "autoscaling.min_replicas or cpus_per_replica",
}


@dataclass(frozen=True)
class StageFit:
    """What a stage of a job asks of a place, and what it finds there.

    Args:
        stage: The stage: ``prepare``, ``pretrain``, ``record``, ``search``, ``distil``,
            ``evaluate`` or ``serve``.
        what: What its processes are called.
        count: How many of them ask at the same time, at most.
        cpus: CPUs of each.
        gpus: GPUs of each, or the part of one.
        together: Whether all of them start or none.
        runs: How many have room at the same time.
        launched: Groups with the nodes that it brings up, beside those that are up from the
            start.
        note: What its user should know; else empty.
    """

    stage: str
    what: str
    count: int
    cpus: float
    gpus: float
    together: bool
    runs: int
    launched: tuple[tuple[str, int], ...] = ()
    note: str = ""

    @property
    def waits(self) -> int:
        """How many wait until others have ended, or the place has grown."""
        return self.count - self.runs


def check_fit(job: Job, target: Target) -> list[StageFit]:
    """Return what each stage of a job asks of a target, and which nodes it would bring up.

    Nothing is asked of Kubernetes, whose nodes are those of the manifests that would be applied;
    a Ray cluster is asked for its nodes. Stages that are done already count as well. The
    experiments of a suite, which run one after the other, are told once where they ask alike.
    Empty where nothing can be known: this machine with ``RAY_ADDRESS`` set.

    Args:
        job: The job.
        target: Where it would be sent.

    Raises:
        JobError: The job names what does not exist.
        NeverFits: A stage can never be scheduled there.
        LaunchError: A Ray cluster does not answer, or this Ray is not the one kdray knows.
    """
    groups = _groups(job, target)
    if groups is None:
        return []
    if isinstance(job, Service):
        return [_fit(one, groups, target) for one in demands_of_service(job)]
    found: dict[StageFit, None] = {}
    for experiment in experiments_of(job):
        found |= dict.fromkeys(_fits(experiment, groups, target))
    return list(found)


def sized(cpus: float, gpus: float) -> str:
    """Return CPUs and GPUs in words."""
    return f"{cpus:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")


def groups_of(nodes: Iterable[Mapping[str, float]]) -> tuple[Group, ...]:
    """Return the nodes of a cluster that runs already as groups of equal ones.

    Args:
        nodes: The resources of each, as Ray tells them.
    """
    sizes = Counter((node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes)
    return tuple(
        Group(f"nodes of {sized(cpus, gpus)}", {"CPU": cpus, "GPU": gpus}, count, count)
        for (cpus, gpus), count in sizes.items()
    )


def _groups(job: Job, target: Target) -> tuple[Group, ...] | None:
    """Return the nodes of a target; None: nothing can be known of them, or they fit the job."""
    place = target.place
    if isinstance(place, Kubernetes):
        return _rendered(job, target)
    if isinstance(job, Service):
        return None  # `kdray serve` gives its own Ray what the replicas ask for
    if isinstance(place, RayCluster):
        return _asked(place)
    return None if os.environ.get("RAY_ADDRESS") else (this_machine(),)


def _rendered(job: Job, target: Target) -> tuple[Group, ...]:
    """Return the groups of the cluster that would be applied for a job."""
    from kdray.launch.kube.render import manifests

    order = Order(job.name, job.kind, order_id(job.name, ""), spec="", file="", storage="")
    for one in manifests(order, job, target):
        for key in ("rayClusterSpec", "rayClusterConfig"):
            if one["apiVersion"].startswith("ray.io/") and key in one["spec"]:
                return read_groups(one["spec"][key], target.name)
    raise LaunchError(target.name, "no cluster is rendered for this job.")


def _asked(place: RayCluster) -> tuple[Group, ...]:
    """Return the nodes of a Ray cluster that are up."""
    from kdray.launch.ray import address_of, token_of
    from kdray.launch.ray_client import JobsClient, talking

    address = address_of(place)
    with talking(address):
        return groups_of(JobsClient(address, token_of(place)).nodes())


def _fits(job: Experiment, groups: Sequence[Group], target: Target) -> Iterator[StageFit]:
    # A head that gives no work counts for none.
    nodes = [group.size for group in groups if any(group.size) for _ in range(group.first)]
    try:
        demands = demands_of(job, nodes)
    except NeverFits as error:
        remedy = _GROW if _grows(groups) else _remedy(error.where, target)
        raise NeverFits(f"{error.where} on {target.name}", error.problem, remedy) from None
    # How far a Ray cluster of one's own can grow is not told by its nodes.
    is_open = isinstance(target.place, RayCluster) and job.resources.autoscale
    is_fixed = _grows(groups) and not job.resources.autoscale
    for demand in demands:
        fit = _fit(demand, groups, target, is_open)
        yield replace(fit, note=_FIXED) if is_fixed and fit.stage != "prepare" else fit


def _fit(
    demand: Demand, groups: Sequence[Group], target: Target, is_open: bool = False
) -> StageFit:
    """Return what a demand finds.

    Raises:
        NeverFits: It never has room, and the place is not ``is_open`` to grow.
    """
    share = demand.share
    found = schedule(groups, share.as_ray(), demand.count, demand.together)
    runs = demand.count - found.left
    lacks = runs < (demand.count if demand.together else demand.least)
    if lacks and not is_open:
        raise _never(demand, groups, target)
    return StageFit(
        stage=demand.stage,
        what=demand.what,
        count=demand.count,
        cpus=share.cpus,
        gpus=share.gpus,
        together=demand.together,
        runs=runs,
        launched=tuple(sorted(found.launched.items())),
        note="waits until the cluster has grown" if lacks else "",
    )


def _grows(groups: Sequence[Group]) -> bool:
    return any(group.most > group.first for group in groups)


def _never(demand: Demand, groups: Sequence[Group], target: Target) -> NeverFits:
    share = demand.share
    each = sized(share.cpus, share.gpus)
    least = demand.count if demand.together else demand.least
    room = least - schedule(groups, share.as_ray(), least).left
    many = f"{least} {demand.what}s of {each} at the same time"
    asks = f"a {demand.what} of {each}" if least == 1 else many
    has = "; ".join(
        f"{group.name}: {group.most} x {sized(*group.size)}" for group in groups if any(group.size)
    )
    return NeverFits(
        f"{demand.stage} on {target.name}",
        f"asks for {asks}; there is room for {room if room else 'none'}, with all nodes up "
        f"({has or 'none'}).",
        _remedy(demand.stage, target),
    )


def _remedy(stage: str, target: Target) -> str:
    own = "resources.workers, cpus_per_worker or gpus_per_worker"
    lower = f"Lower {_LOWER.get(stage, own)}"
    if isinstance(target.place, Kubernetes):
        return f"{lower}, or give the target more or larger `groups`."
    return f"{lower}, or name a larger cluster by --to."
