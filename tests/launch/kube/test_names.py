"""Names of a job's objects."""

from __future__ import annotations

import hashlib

import pytest

from kdray.errors import LaunchError
from kdray.launch.kube.names import object_name, spec_name
from tests.launch.kube.given import SPEC, given_order


def test_a_ray_job_has_the_id_of_its_order() -> None:
    assert object_name(given_order(id="lesions-0123abcd-2")) == "lesions-0123abcd-2"


@pytest.mark.parametrize("id", ["a" * 48, "9-lives", "Big", "a-", "a.b"])
def test_an_id_that_kuberay_refuses_is_refused_before(id: str) -> None:
    with pytest.raises(LaunchError, match="no name for KubeRay"):
        object_name(given_order(id=id))


def test_the_longest_id_is_taken() -> None:
    assert object_name(given_order(id="a" * 47)) == "a" * 47


def test_another_file_has_another_config_map() -> None:
    names = {spec_name(given_order(spec=spec)) for spec in (SPEC, SPEC + "#")}
    assert len(names) == 2


def test_each_try_of_a_job_has_its_own_config_map() -> None:
    # A ConfigMap is deleted with its try, and the longest id of an order has 44 letters.
    first = "a" * 44
    names = {spec_name(given_order(id=id)) for id in (first, f"{first}-2", f"{first}-3")}
    assert len(names) == 3


def test_a_config_map_says_the_hash_of_its_content() -> None:
    code = hashlib.sha256(SPEC.encode()).hexdigest()[:15]
    assert spec_name(given_order()) == f"lesions-0123abcd-{code}"


def test_the_name_of_a_config_map_fits_a_label() -> None:
    assert len(spec_name(given_order(id="a" * 47))) <= 63
