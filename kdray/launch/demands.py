"""What the stages of a job ask of a cluster at the same time; what ``kdray.run.stages`` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kdray.errors import NeverFits, RunError
from kdray.plan import Plan, make_plan
from kdray.plan.spaces import num_trials
from kdray.run.shares import Node, Share, keepers_on, room_on, share_on, solo_on
from kdray.spec import Experiment, Service
from kdray.spec.experiment import Resources


@dataclass(frozen=True)
class Demand:
    """Processes that ask for the same at the same time.

    Args:
        stage: The stage of the job.
        what: What they are called.
        count: How many, at most.
        share: What each asks for.
        together: Whether all of them start or none.
        least: How many there have to be room for.
    """

    stage: str
    what: str
    count: int
    share: Share
    together: bool = False
    least: int = 1


def demands_of(job: Experiment, nodes: Sequence[Node]) -> list[Demand]:
    """Return what an experiment asks for, stage by stage, on a cluster where nodes are up.

    Args:
        job: The experiment; nothing is looked up of its images.
        nodes: CPUs and GPUs of each node that is up when a stage begins.

    Raises:
        JobError: The job names what does not exist.
        NeverFits: The nodes have no room for a stage, and the job does not wait for more.
    """
    uris = {model.weights for model in (*job.teachers, *job.students)}
    plan = make_plan(job, "", dict.fromkeys(uris - {"none", "imagenet"}, ""))
    return list(_stages(plan, nodes))


def demands_of_service(service: Service) -> list[Demand]:
    """Return what a service asks for: replicas that predict, and as many that explain."""
    scaling, share = service.autoscaling, Share(service.cpus_per_replica, 0)
    most, least = 2 * scaling.max_replicas, 2 * scaling.min_replicas
    return [Demand("serve", "replica", most, share, least=least)]


def _stages(plan: Plan, nodes: Sequence[Node]) -> Iterator[Demand]:
    resources = plan.job.resources
    yield Demand("prepare", "task", 1, Share(1, 0))
    yield from _training("pretrain", len(plan.pretrain), resources, nodes)
    if plan.record:
        share, most, _ = keepers_on(nodes, resources)
        yield Demand("record", "process", most, share)
    if plan.search is not None:
        yield _searching(plan, nodes)
    distilled = sum(len(arm.distil) for arm in plan.arms)
    yield from _training("distil", distilled, resources, nodes)
    share = _share("evaluate", nodes, resources, 1)
    yield Demand("evaluate", "task", len(plan.pretrain) + distilled, share)


def _training(
    stage: str, runs: int, resources: Resources, nodes: Sequence[Node]
) -> Iterator[Demand]:
    if not runs:
        return
    if resources.workers > 1:
        share = _share(stage, nodes, resources, resources.workers)
        yield Demand(stage, "worker", resources.workers, share, together=True)
    else:
        with _named(stage):
            share, count = solo_on(nodes, resources, runs)
        yield Demand(stage, "process", count, share)


def _searching(plan: Plan, nodes: Sequence[Node]) -> Demand:
    job, search = plan.job, plan.job.search
    if search.workers > 1:
        share = _share("search", nodes, job.resources, search.workers)
        return Demand("search", "worker", search.workers, share, together=True)
    trials = sum(num_trials(search, arm.arm.method, arm.spaces) for arm in plan.searched)
    concurrent = search.concurrent or min(room_on(nodes, job.resources), trials)
    share = _share("search", nodes, job.resources, concurrent)
    return Demand("search", "trial", min(concurrent, trials), share)


def _share(stage: str, nodes: Sequence[Node], resources: Resources, at_once: int) -> Share:
    with _named(stage):
        return share_on(nodes, resources, at_once)


@contextmanager
def _named(stage: str) -> Iterator[None]:
    """Say of which stage it is that the nodes have no room."""
    try:
        yield
    except RunError as error:
        raise NeverFits(stage, error.problem, error.remedy) from None
