"""Worker pods of a job: those of the target, or as many as the job's resources ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kdray.plan.read import experiments_of
from kdray.spec import Experiment, Suite
from kdray.spec.target import Group, Kubernetes

#: CPUs of a worker whose job leaves them open.
_CPUS = 2
#: Memory of a made pod, GiB: at least, for each CPU, for each GPU.
_LEAST_GIB, _CPU_GIB, _GPU_GIB = 4, 2, 8


def groups_of(job: Experiment | Suite, place: Kubernetes) -> tuple[Group, ...]:
    """Return the groups of workers of a job.

    Where the target names none, two are made: one of CPUs, and one of GPUs if a worker takes any.
    Each is as large as the largest of the job's experiments wants it, for as many at once as
    ``resources.workers``, ``search.concurrent`` and ``search.workers`` say.
    """
    if place.groups:
        return place.groups
    experiments = experiments_of(job)
    grows = place.autoscale and all(each.resources.autoscale for each in experiments)
    with_gpus = [each for each in experiments if each.resources.gpus_per_worker > 0]
    without = [each for each in experiments if each.resources.gpus_per_worker <= 0]
    groups = [_cpu_group(without, grows)]
    if with_gpus:
        groups.append(_gpu_group(with_gpus, grows))
    return tuple(groups)


def at_once(job: Experiment) -> int:
    """Return how many workers or trials an experiment asks to go on at once."""
    trials = (job.search.workers, job.search.concurrent or 1) if job.search.trials else ()
    return max(job.resources.workers, *trials, 1)


def _cpu_group(jobs: Sequence[Experiment], grows: bool) -> Group:
    """Return pods without GPUs; one where all workers take GPUs: the images are prepared there."""
    cpus = max((_cpus(job) for job in jobs), default=_CPUS)
    pods = (math.ceil(at_once(job) / _per_pod(job, cpus)) for job in jobs)
    most = max(pods, default=1)
    return Group(
        name="cpu", min=1 if grows else most, max=most, cpus=cpus, memory=_memory(cpus, 0)
    )


def _gpu_group(jobs: Sequence[Experiment], grows: bool) -> Group:
    """Return pods with as many GPUs as a worker takes; workers that share one share its pod."""
    gpus = max(math.ceil(job.resources.gpus_per_worker) for job in jobs)
    cpus = max(
        math.ceil(_in_pod(job, gpus) * (job.resources.cpus_per_worker or _CPUS)) for job in jobs
    )
    most = max(math.ceil(at_once(job) / (_sharing(job) * _fitting(job, gpus))) for job in jobs)
    return Group(
        name="gpu",
        min=0 if grows else most,
        max=most,
        cpus=cpus,
        gpus=gpus,
        memory=_memory(cpus, gpus),
    )


def _cpus(job: Experiment) -> int:
    return math.ceil(job.resources.cpus_per_worker or _CPUS)


def _per_pod(job: Experiment, cpus: int) -> int:
    """Return how many of a job's workers a pod holds."""
    return max(1, int(cpus / (job.resources.cpus_per_worker or cpus) + 1e-9))


def _sharing(job: Experiment) -> int:
    """Return how many workers share a GPU."""
    gpus = job.resources.gpus_per_worker
    return int(1 / gpus + 1e-9) if gpus < 1 else 1


def _fitting(job: Experiment, gpus: int) -> int:
    """Return for how many such GPUs a pod has room."""
    return gpus // math.ceil(job.resources.gpus_per_worker)


def _in_pod(job: Experiment, gpus: int) -> int:
    """Return how many of a job's workers a pod has to have CPUs for."""
    return min(_sharing(job) * _fitting(job, gpus), max(_sharing(job), at_once(job)))


def _memory(cpus: int, gpus: int) -> str:
    return f"{max(_LEAST_GIB, _CPU_GIB * cpus, _GPU_GIB * gpus)}Gi"
