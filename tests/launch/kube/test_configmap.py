"""The job file in its ConfigMap."""

from __future__ import annotations

import pytest

from kdray.errors import LaunchError
from kdray.launch.kube.configmap import PATH, spec_map, spec_mount
from tests.launch.kube.given import SPEC, given_order, given_place
from tests.launch.kube.schemas import check


def test_a_config_map_holds_the_job_file_and_never_changes() -> None:
    made = spec_map(given_order(), given_place())
    check(made)
    assert made["data"] == {"job.yaml": SPEC}
    assert made["immutable"] is True


def test_a_pod_finds_the_file_where_the_driver_looks() -> None:
    extra = spec_mount(given_order())
    (volume,), (mount,) = extra.volumes, extra.mounts
    assert f"{mount['mountPath']}/job.yaml" == PATH
    assert (
        volume["configMap"]["name"] == spec_map(given_order(), given_place())["metadata"]["name"]
    )
    assert mount["readOnly"] is True


def test_a_file_that_no_config_map_holds_is_refused() -> None:
    with pytest.raises(LaunchError, match=r"1,100,000 bytes"):
        spec_map(given_order(spec="#" * 1_100_000), given_place())


def test_a_large_file_still_fits() -> None:
    check(spec_map(given_order(spec="é" * 500_000), given_place()))
