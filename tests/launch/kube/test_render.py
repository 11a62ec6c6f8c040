"""Whatever the target says, what is rendered is valid, the same again, and as Ray reads it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdray.errors import LaunchError
from kdray.launch.kube.render import manifests
from kdray.launch.order import order_id
from kdray.launch.scheduling import read_groups
from kdray.plan.read import read_job
from kdray.spec import Experiment, Suite, Target
from kdray.spec.quantity import amount
from kdray.spec.target import Kubernetes
from tests.launch.kube.given import ROOT, given_job, given_order, given_target
from tests.launch.kube.schemas import check, kuberay_schema, open_doors, pods_of

_LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
_VALUES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,20}[A-Za-z0-9])?", fullmatch=True)
_VARIABLES = st.from_regex(r"KD_[A-Z0-9_]{1,10}_X", fullmatch=True)
_SELECTORS = st.dictionaries(_LABELS, _VALUES, max_size=2)
_EFFECTS = st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute", None])
_TOLERATIONS = st.lists(
    st.fixed_dictionaries({"key": _LABELS, "value": st.none() | _VALUES, "effect": _EFFECTS}),
    max_size=2,
)
_SECRET_KEYS = st.fixed_dictionaries({"secret": _LABELS, "key": _VALUES})
_PODS: dict[str, st.SearchStrategy[Any]] = {
    "cpus": st.integers(1, 128),
    "memory": st.sampled_from(["512Mi", "1.5Gi", "4Gi", "900G", "1Ti"]),
    "gpus": st.integers(0, 8),
    "gpu_resource": st.sampled_from(["nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-1g.5gb"]),
    "shm": st.sampled_from([None, "128Mi", "200M"]),
    "scratch": st.sampled_from(["1Gi", "500G"]),
    "node_selector": _SELECTORS,
    "tolerations": _TOLERATIONS,
    "spot": st.booleans(),
}
_GROUPS = st.lists(
    st.fixed_dictionaries(
        {"name": _LABELS, "min": st.integers(0, 3), "max": st.integers(3, 9)}, optional=_PODS
    ),
    max_size=3,
    unique_by=lambda group: group["name"],
)
_PLACES = st.fixed_dictionaries(
    {"spot_selector": st.dictionaries(_LABELS, _VALUES, min_size=1, max_size=2)},
    optional={
        "image": st.just("host.example:5000/kdray@sha256:" + "0" * 64),
        "pull_policy": st.sampled_from(["IfNotPresent", "Always", "Never"]),
        "pull_secrets": st.lists(_LABELS, max_size=2, unique=True),
        "service_account": _LABELS,
        "head": st.fixed_dictionaries({}, optional=_PODS),
        "groups": _GROUPS,
        "autoscale": st.booleans(),
        "idle_seconds": st.integers(1, 10_000),
        "retries": st.integers(0, 9),
        "deadline_seconds": st.none() | st.integers(1, 10**6),
        "keep_seconds": st.integers(0, 10**6),
        "queue": st.none() | _LABELS,
        "priority_class": st.none() | _LABELS,
        "spot_tolerations": _TOLERATIONS,
        "secret_environment": st.dictionaries(_VARIABLES.map("S_{}".format), _SECRET_KEYS),
        "environment": st.dictionaries(_VARIABLES, st.text("ab $'\"\n:{}", max_size=9)),
        "auth": st.sampled_from(["token", "none"]),
    },
)
_SEARCHES = st.tuples(st.integers(1, 40), st.sampled_from([0, 0.1, 0.25, 0.5, 1, 2, 8]))


@pytest.fixture(scope="module", autouse=True)
def _schema() -> None:
    kuberay_schema("RayJob")  # seconds, once


@settings(
    max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(place=_PLACES, search=_SEARCHES)
def test_every_target_renders_to_valid_objects_that_ray_reads_alike(
    place: dict[str, Any], search: tuple[int, float]
) -> None:
    target = given_target(**place)
    job = given_job(f"search.concurrent={search[0]}", f"resources.gpus_per_worker={search[1]}")
    made = manifests(given_order(), job, target)
    for manifest in made:
        check(manifest)
        assert yaml.safe_load(yaml.safe_dump(manifest)) == manifest
        for _, pod in pods_of(manifest):
            assert open_doors(pod) == []
    cluster = made[1]["spec"]["rayClusterSpec"]
    head, *groups = read_groups(cluster)
    assert head.resources["CPU"] == 0
    for seen, group in zip(groups, cluster["workerGroupSpecs"], strict=True):
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert seen.resources["CPU"] == int(limits["cpu"])
        assert seen.resources["memory"] == amount(limits["memory"])
        gpus = [int(limits[name]) for name in limits if name not in ("cpu", "memory")]
        assert seen.resources.get("GPU", 0) == sum(gpus)


@settings(deadline=None, derandomize=True)
@given(name=st.from_regex(r"[a-z0-9][a-z0-9.-]{0,80}", fullmatch=True), spec=st.text(max_size=20))
def test_every_jobs_id_and_its_further_tries_are_names_for_kuberay(name: str, spec: str) -> None:
    for suffix in ("", "-2", "-99"):
        id = order_id(name, spec) + suffix
        assert len(id) <= 47
        assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", id)


@pytest.mark.parametrize("file", sorted((ROOT / "jobs").rglob("*.yaml")), ids=lambda f: f.stem)
def test_every_job_of_the_repository_has_valid_objects(file: Any) -> None:
    job = read_job(file, env={"BRAIN_MRI": "/data"})
    if not isinstance(job, Experiment | Suite):
        pytest.skip("is a service")
    text = file.read_text()
    order = given_order(job=job.name, kind=job.kind, id=order_id(job.name, text), spec=text)
    for manifest in manifests(order, job, given_target()):
        check(manifest)


def test_the_job_file_is_applied_before_the_job_that_mounts_it() -> None:
    made = manifests(given_order(), given_job(), given_target())
    assert [manifest["kind"] for manifest in made] == ["ConfigMap", "RayJob"]


def test_the_same_order_renders_to_the_same_objects() -> None:
    once, again = (manifests(given_order(), given_job(), given_target()) for _ in range(2))
    assert yaml.safe_dump(once) == yaml.safe_dump(again)


def test_all_objects_tell_the_job_its_id_its_storage_and_what_was_sent() -> None:
    for manifest in manifests(given_order(), given_job(), given_target()):
        facts = manifest["metadata"]["annotations"]
        assert facts["kdray/job"] == "lesions"
        assert facts["kdray/id"] == "lesions-0123abcd"
        assert facts["kdray/storage"] == "s3://bucket/runs"
        assert re.fullmatch(r"[0-9a-f]{64}", facts["kdray/spec-sha256"])


def test_without_a_namespace_none_is_rendered() -> None:
    for manifest in manifests(given_order(), given_job(), given_target(namespace=None)):
        assert "namespace" not in manifest["metadata"]


def test_a_target_that_is_not_kubernetes_has_nothing_to_render() -> None:
    local = Target.model_validate(
        {"apiVersion": "kdray/v1", "kind": "Target", "name": "x", "place": {"kind": "local"}}
    )
    with pytest.raises(LaunchError, match="nothing to render"):
        manifests(given_order(), given_job(), local)


#: A value of each field of a place, other than its default, and what it takes beside.
_FIELDS: dict[str, dict[str, Any]] = {
    "namespace": {"namespace": "other"},
    "image": {"image": "kdray:2"},
    "pull_policy": {"pull_policy": "Always"},
    "pull_secrets": {"pull_secrets": ["pull"]},
    "service_account": {"service_account": "trainer"},
    "head": {"head": {"cpus": 7}},
    "groups": {"groups": [{"name": "own"}]},
    "autoscale": {"autoscale": True},
    "idle_seconds": {"autoscale": True, "idle_seconds": 7},
    "retries": {"retries": 7},
    "deadline_seconds": {"deadline_seconds": 7},
    "keep_seconds": {"keep_seconds": 7},
    "queue": {"queue": "lab"},
    "priority_class": {"priority_class": "high"},
    "spot_selector": {"head": {"spot": True}, "spot_selector": {"life": "spot"}},
    "spot_tolerations": {"head": {"spot": True}, "spot_tolerations": [{"key": "spot"}]},
    "secret_environment": {"secret_environment": {"A": {"secret": "s", "key": "k"}}},
    "environment": {"environment": {"A": "1"}},
    "auth": {"auth": "none"},
    "volumes": {"volumes": [{"claim": "images", "path": "/data"}]},
}
#: Of services alone; see test_rayservice.py and test_network.py.
_OF_SERVICES = {"fault_tolerance", "serving"}


def test_every_field_of_a_place_is_tried() -> None:
    told = {*_FIELDS, *_OF_SERVICES, "kind", "context"}  # the context says which server is asked
    assert told == set(Kubernetes.model_fields)


@pytest.mark.parametrize("field", _FIELDS)
def test_every_field_of_a_place_has_an_effect_on_a_job(field: str) -> None:
    wanted = _FIELDS[field]
    without = {name: value for name, value in wanted.items() if name != field}
    if field.startswith("spot"):
        without["spot_selector"] = {"other": "label"}
        wanted = {**without, **wanted}
    made = [manifests(given_order(), given_job(), given_target(**f)) for f in (without, wanted)]
    assert made[0] != made[1]
