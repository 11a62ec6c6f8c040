from __future__ import annotations

from typing import Any

import pytest
import ray

from kdray.errors import RunError
from kdray.run import session as sessions
from kdray.run.session import limit_memory, session, share_of, up
from kdray.run.shares import Share, room_on
from kdray.spec.experiment import Resources


def nodes(monkeypatch: pytest.MonkeyPatch, *sizes: tuple[float, float]) -> None:
    def listed() -> list[dict[str, Any]]:
        found = [{"Alive": True, "Resources": {"CPU": c, "GPU": g}} for c, g in sizes]
        return [*found, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}]

    monkeypatch.setattr(ray, "nodes", listed)


@pytest.mark.parametrize(
    ("sizes", "at_once", "cpus"),
    [
        ([(2, 0)], 1, 2),
        ([(2, 0)], 2, 1),
        ([(2, 0)], 3, 0.6666),
        ([(5, 0)], 2, 2),
        ([(4, 0), (6, 0)], 2, 4),  # 5 each would leave no room on the first node
        ([(8, 0), (2, 0)], 3, 2),
    ],
)
def test_workers_get_the_most_cpus_that_leave_room_for_all(
    monkeypatch: pytest.MonkeyPatch, sizes: list[tuple[float, float]], at_once: int, cpus: float
) -> None:
    nodes(monkeypatch, *sizes)
    assert share_of(Resources(), at_once) == Share(cpus, 0)


def test_only_nodes_with_gpus_count_for_workers_with_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes(monkeypatch, (64, 0), (8, 1))
    assert share_of(Resources(gpus_per_worker=1), 1) == Share(8, 1)
    assert share_of(Resources(gpus_per_worker=0.5), 2) == Share(4, 0.5)


@pytest.mark.parametrize(
    ("sizes", "at_once", "resources"),
    [
        ([(8, 1)], 2, {"gpus_per_worker": 1}),
        ([(8, 1)], 1, {"gpus_per_worker": 2}),
        ([(8, 1), (8, 1)], 1, {"gpus_per_worker": 2}),  # no GPU of another node
        ([(8, 1)], 3, {"gpus_per_worker": 0.5}),
        ([(3, 0), (3, 0)], 3, {"cpus_per_worker": 2}),
        ([(2, 0)], 1, {"cpus_per_worker": 4}),
        ([(2, 0)], 1, {"gpus_per_worker": 1}),
    ],
)
def test_what_could_only_be_waited_for_without_end_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[tuple[float, float]],
    at_once: int,
    resources: dict[str, float],
) -> None:
    nodes(monkeypatch, *sizes)
    with pytest.raises(
        RunError, match=r"the cluster has room for .* Lower workers.*autoscale: true"
    ):
        share_of(Resources.model_validate(resources), at_once)


@pytest.mark.parametrize(
    ("sizes", "resources", "trials"),
    [
        ([(2, 0)], {}, 2),
        ([(2, 0), (5, 0)], {}, 7),
        ([(3, 0), (3, 0)], {"cpus_per_worker": 2}, 2),  # a CPU of each node is left over
        ([(2, 0)], {"cpus_per_worker": 0.5}, 4),
        ([(64, 0), (8, 2)], {"gpus_per_worker": 1}, 2),
        ([(8, 1)], {"gpus_per_worker": 0.25}, 4),
        ([(2, 1)], {"gpus_per_worker": 0.25}, 2),  # there are only two CPUs
        ([(2, 0)], {"cpus_per_worker": 4}, 1),  # share_of says what is wrong
    ],
)
def test_as_many_trials_run_at_once_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[tuple[float, float]],
    resources: dict[str, float],
    trials: int,
) -> None:
    nodes(monkeypatch, *sizes)
    assert room_on(up(), Resources.model_validate(resources)) == trials


def test_the_trials_there_is_room_for_get_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes(monkeypatch, (3, 0), (8, 2))
    for asked in ({}, {"cpus_per_worker": 2}, {"gpus_per_worker": 0.5}):
        resources = Resources.model_validate(asked)
        share = share_of(resources, room_on(up(), resources))
        assert share.cpus >= (resources.cpus_per_worker or 1)
        assert share.gpus == resources.gpus_per_worker


@pytest.mark.parametrize(
    ("resources", "share"),
    [
        ({}, Share(1, 0)),
        ({"cpus_per_worker": 16}, Share(16, 0)),
        ({"cpus_per_worker": 4, "gpus_per_worker": 2}, Share(4, 2)),
    ],
)
def test_a_cluster_that_grows_may_be_asked_for_what_no_node_has_yet(
    monkeypatch: pytest.MonkeyPatch, resources: dict[str, float], share: Share
) -> None:
    nodes(monkeypatch, (2, 0))
    assert share_of(Resources.model_validate({"autoscale": True, **resources}), 8) == share


@pytest.mark.parametrize(
    ("device", "gpus", "limit"),
    [("cuda", 0.5, 0.5), ("cuda:1", 0.25, 0.25), ("cuda", 1, None), ("cpu", 0, None)],
)
def test_who_shares_a_gpu_takes_its_part_of_the_memory(
    device: str, gpus: float, limit: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    limits: list[tuple[float, str]] = []
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda *given: limits.append(given)
    )
    limit_memory(device, gpus)
    assert limits == ([] if limit is None else [(limit, device)])


@pytest.mark.parametrize(("address", "asked"), [("", ("local", 2)), ("10.0.0.1:6379", None)])
def test_a_session_started_here_has_the_cpus_that_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, address: str, asked: tuple[str, int] | None
) -> None:
    started: list[tuple[Any, ...]] = []
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(sessions, "start", lambda *args: started.append(args))
    with session(2):
        assert started == [asked or (address, None)]
