"""Groups of workers: the target's, or made from the job's resources."""

from __future__ import annotations

import pytest

from kdray.launch.kube.groups import at_once, groups_of
from kdray.spec.target import Group
from tests.launch.kube.given import given_job, given_place, given_suite


def shapes(*sets: str, autoscale: bool = False) -> list[tuple[str, int, int, int, int]]:
    groups = groups_of(given_job(*sets), given_place(autoscale=autoscale))
    return [(group.name, group.min, group.max, group.cpus, group.gpus) for group in groups]


def test_a_targets_own_groups_are_taken_as_they_are() -> None:
    place = given_place(groups=[{"name": "big", "max": 7, "cpus": 32}])
    assert groups_of(given_job(), place) == (Group(name="big", max=7, cpus=32),)


@pytest.mark.parametrize(
    ("sets", "group"),
    [
        ((), ("cpu", 1, 1, 2, 0)),
        (("search.concurrent=5",), ("cpu", 5, 5, 2, 0)),
        (("resources.workers=3", "search.concurrent=2"), ("cpu", 3, 3, 2, 0)),
        (("search.workers=4",), ("cpu", 4, 4, 2, 0)),
        (("search.workers=4", "search.trials=0"), ("cpu", 1, 1, 2, 0)),
        (("resources.cpus_per_worker=8", "search.concurrent=2"), ("cpu", 2, 2, 8, 0)),
        # half a CPU each: a pod of one holds two
        (("resources.cpus_per_worker=0.5", "search.concurrent=5"), ("cpu", 3, 3, 1, 0)),
    ],
)
def test_cpu_pods_are_made_for_what_goes_on_at_once(
    sets: tuple[str, ...], group: tuple[str, int, int, int, int]
) -> None:
    assert shapes(*sets) == [group]


@pytest.mark.parametrize(
    ("sets", "group"),
    [
        (("resources.gpus_per_worker=1", "search.concurrent=4"), ("gpu", 4, 4, 2, 1)),
        # four trials share a GPU, so ten need three pods, of four times two CPUs
        (("resources.gpus_per_worker=0.25", "search.concurrent=10"), ("gpu", 3, 3, 8, 1)),
        (("resources.gpus_per_worker=2", "resources.workers=2"), ("gpu", 2, 2, 2, 2)),
    ],
)
def test_gpu_pods_are_made_beside_one_for_cpus(
    sets: tuple[str, ...], group: tuple[str, int, int, int, int]
) -> None:
    assert shapes(*sets) == [("cpu", 1, 1, 2, 0), group]


def test_a_cluster_grows_from_one_pod_where_target_and_job_both_want_that() -> None:
    sets = ("resources.gpus_per_worker=1", "search.concurrent=4")
    grows = ("resources.autoscale=true", *sets)
    assert shapes(*grows, autoscale=True) == [("cpu", 1, 1, 2, 0), ("gpu", 0, 4, 2, 1)]
    # a job that waits for no nodes needs them all from the start
    assert shapes(*sets, autoscale=True)[1] == ("gpu", 4, 4, 2, 1)


def test_a_suite_has_pods_for_its_largest_experiment() -> None:
    suite = given_suite(**{"search.concurrent": 6, "resources.gpus_per_worker": 1})
    found = {group.name: group.max for group in groups_of(suite, given_place())}
    assert found == {"cpu": 1, "gpu": 6}


def test_a_pod_that_small_workers_share_has_cpus_for_all_of_them() -> None:
    # Four trials of a GPU and eight CPUs fit a pod of four GPUs only if it has 32 CPUs.
    small = {"resources.gpus_per_worker": 1, "resources.cpus_per_worker": 8}
    suite = given_suite(
        {**small, "search.concurrent": 4},
        **{"resources.gpus_per_worker": 4, "resources.cpus_per_worker": 8},
    )
    gpu = next(group for group in groups_of(suite, given_place()) if group.name == "gpu")
    assert (gpu.max, gpu.gpus, gpu.cpus) == (1, 4, 32)


def test_memory_grows_with_cpus_and_gpus() -> None:
    cpu, gpu = groups_of(
        given_job("resources.gpus_per_worker=4", "resources.cpus_per_worker=6"), given_place()
    )
    assert (cpu.memory, gpu.memory) == ("4Gi", "32Gi")


def test_what_goes_on_at_once_counts_trials_only_where_there_are_any() -> None:
    assert at_once(given_job("search.concurrent=9", "search.trials=0")) == 1
