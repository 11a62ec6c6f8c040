from __future__ import annotations

import pytest

from kdray.run.shares import GROWN, Node, Share, keepers_on, solo_on
from kdray.spec.experiment import Resources


@pytest.mark.parametrize(
    ("nodes", "resources", "share", "count"),
    [
        ([(8, 0)], {}, Share(2, 0), 4),
        ([(2, 0), (8, 0)], {}, Share(2, 0), 5),
        ([(8, 0)], {"cpus_per_worker": 3}, Share(3, 0), 2),
        ([(64, 0), (4, 1)], {"gpus_per_worker": 1}, Share(1, 1), 1),  # a quarter of the second
        ([(8, 2)], {"gpus_per_worker": 0.5}, Share(2, 0.5), 4),
    ],
)
def test_teachers_are_recorded_by_processes_that_fill_the_nodes(
    nodes: list[Node], resources: dict[str, float], share: Share, count: int
) -> None:
    assert keepers_on(nodes, Resources.model_validate(resources)) == (share, count, count)


def test_a_cluster_that_grows_is_asked_for_more_than_it_has() -> None:
    resources = Resources(autoscale=True, gpus_per_worker=1)
    assert keepers_on([(4, 1)], resources) == (Share(1, 1), GROWN, 1)
    assert solo_on([(4, 1)], resources, 99) == (Share(1, 1), GROWN)
    assert solo_on([(4, 1)], resources, 2) == (Share(1, 1), 2)


@pytest.mark.parametrize(
    ("nodes", "resources", "runs", "expected"),
    [
        ([(4, 0), (5, 0)], {"cpus_per_worker": 2}, 9, (Share(2, 0), 4)),
        ([(4, 0), (5, 0)], {}, 9, (Share(5, 0), 1)),  # the largest node, whole
        ([(8, 2)], {"gpus_per_worker": 1}, 9, (Share(4, 1), 2)),
        ([(8, 2)], {"gpus_per_worker": 1}, 1, (Share(8, 1), 1)),
        ([(8, 2)], {"gpus_per_worker": 0.5}, 9, (Share(2, 0.5), 4)),
    ],
)
def test_as_many_runs_go_on_at_once_as_fit(
    nodes: list[Node], resources: dict[str, float], runs: int, expected: tuple[Share, int]
) -> None:
    assert solo_on(nodes, Resources.model_validate(resources), runs) == expected
