"""cluster/: every overlay renders, and every object of it is one that Kubernetes takes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdray.launch.kube.pods import ray_pod
from kdray.launch.kube.rights import FOR_JOBS, FOR_REASONS, FOR_SERVICES
from kdray.launch.place import Order
from kdray.launch.targets import find_target
from kdray.spec.quantity import amount
from kdray.spec.target import Kubernetes, Target
from tests.launch.kube import schemas

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("overlays/local", "overlays/gpu")
FOLDERS = (*OVERLAYS, "services/local", "services/gpu")
PLACES = ("local", "gpu")
#: What makes manifests of a folder of cluster/.
Render = Callable[[str], list[dict[str, Any]]]
#: Of Kueue's schemas what kdray uses: kind -> fields of spec, with what each holds.
KUEUE: dict[str, Any] = {
    "ResourceFlavor": {"nodeLabels": {str: str}, "tolerations": list},
    "LocalQueue": {"clusterQueue": str},
    "ClusterQueue": {
        "queueingStrategy": ("StrictFIFO", "BestEffortFIFO"),
        "namespaceSelector": {"matchLabels": {str: str}},
        "preemption": {"withinClusterQueue": ("Never", "LowerPriority")},
        "resourceGroups": [
            {
                "coveredResources": [str],
                "flavors": [
                    {"name": str, "resources": [{"name": str, "nominalQuota": (int, str)}]}
                ],
            }
        ],
    },
}


def target(name: str) -> tuple[Target, Kubernetes]:
    found = find_target(str(ROOT / "cluster" / "targets" / f"{name}.yaml"))
    assert isinstance(found.place, Kubernetes)
    return found, found.place


def by_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def odd(value: Any, wanted: Any, place: str) -> Iterator[str]:
    """Yield where a value has other fields or types than those wanted."""
    if isinstance(wanted, dict) and str in wanted:
        wrong = not all(isinstance(text, str) for pair in value.items() for text in pair)
        yield from [f"{place}: {value}"] if wrong else []
    elif isinstance(wanted, dict):
        yield from (f"{place}: no field {key}" for key in value if key not in wanted)
        for key in value.keys() & wanted.keys():
            yield from odd(value[key], wanted[key], f"{place}.{key}")
    elif isinstance(wanted, list):
        for index, part in enumerate(value):
            yield from odd(part, wanted[0], f"{place}[{index}]")
    elif isinstance(wanted, tuple) and isinstance(wanted[0], str):
        yield from [f"{place}: {value!r}"] if value not in wanted else []
    elif not isinstance(value, wanted):
        yield f"{place}: {value!r}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_is_one_that_kubernetes_takes(kustomized: Render, folder: str) -> None:
    found = []
    for one in kustomized(folder):
        if one["apiVersion"] == "kueue.x-k8s.io/v1beta2":
            found += odd(one.get("spec", {}), KUEUE[one["kind"]], one["kind"])
        else:
            found += schemas.problems(one)
    assert not found


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_namespace_takes_every_pod(kustomized: Render, folder: str) -> None:
    pods = [(place, pod) for one in kustomized(folder) for place, pod in schemas.pods_of(one, "")]
    assert pods
    assert not [(place, door) for place, pod in pods for door in schemas.open_doors(pod)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_objects_have_a_namespace_unless_they_belong_to_the_cluster(
    kustomized: Render, folder: str
) -> None:
    wide = {"Namespace", "ClusterRole", "ClusterQueue", "ResourceFlavor"}
    for one in kustomized(folder):
        wanted = None if one["kind"] in wide else "kdray"
        assert one["metadata"].get("namespace") == wanted, one["kind"]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_nothing_names_an_account_a_configmap_or_a_claim_that_is_not_there(
    kustomized: Render, folder: str
) -> None:
    objects = kustomized(folder)
    accounts, settings, claims = (
        by_kind(objects, kind) for kind in ("ServiceAccount", "ConfigMap", "PersistentVolumeClaim")
    )
    for one in objects:
        for place, pod in schemas.pods_of(one, one["metadata"]["name"]):
            spec = pod["spec"]
            assert spec.get("serviceAccountName", "kdray-pods") in accounts, place
            for volume in spec["volumes"]:
                claim = volume.get("persistentVolumeClaim", {}).get("claimName")
                assert claim is None or claim in claims, place
            for container in spec["containers"]:
                for source in container.get("envFrom", ()):
                    assert source["configMapRef"]["name"] in settings, place


@pytest.mark.parametrize("folder", OVERLAYS)
def test_shared_memory_holds_the_object_store_that_ray_makes(
    kustomized: Render, folder: str
) -> None:
    pods = schemas.pods_of(by_kind(kustomized(folder), "RayCluster")["shared"], "shared")
    for place, pod in pods:
        [shm] = [one["emptyDir"] for one in pod["spec"]["volumes"] if one["name"] == "shm"]
        memory = pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
        assert amount(shm["sizeLimit"]) >= amount(memory) * 3 / 10, place  # else it is on the disk


@pytest.mark.parametrize("folder", OVERLAYS)
def test_only_the_head_of_an_autoscaled_cluster_sees_a_token(
    kustomized: Render, folder: str
) -> None:
    with_token = [
        place
        for one in kustomized(folder)
        for place, pod in schemas.pods_of(one, one["metadata"]["name"])
        if pod["spec"]["automountServiceAccountToken"]
    ]
    assert with_token == ["shared.spec.headGroupSpec.template"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_secret_is_inline(kustomized: Render, folder: str) -> None:
    objects = kustomized(folder)
    assert not by_kind(objects, "Secret")
    said = [
        variable
        for one in objects
        for _, pod in schemas.pods_of(one, "")
        for container in pod["spec"]["containers"]
        for variable in container.get("env", ())
        if re.search("KEY|SECRET|PASSWORD|TOKEN", variable["name"]) and "value" in variable
    ]
    assert not said


@pytest.mark.parametrize("folder", OVERLAYS)
def test_roles_name_what_they_allow_and_never_secrets(kustomized: Render, folder: str) -> None:
    roles = by_kind(kustomized(folder), "Role")
    assert set(roles) == {"kdray-submit", "kdray-view"}
    for name, role in roles.items():
        for rule in role["rules"]:
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
            assert "secrets" not in rule["resources"]
            allowed = set() if name == "kdray-view" else {"create", "patch", "delete"}
            assert set(rule["verbs"]) <= {"get", "list", "watch"} | allowed


@pytest.mark.parametrize("folder", OVERLAYS)
def test_who_may_submit_may_do_all_that_the_doctor_asks_for(
    kustomized: Render, folder: str
) -> None:
    role = by_kind(kustomized(folder), "Role")["kdray-submit"]
    allowed = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    needed = {
        (group, resource, verb)
        for rights in (FOR_JOBS, FOR_REASONS, FOR_SERVICES)
        for (group, resource), verbs in rights.items()
        for verb in verbs
    }
    assert needed <= allowed


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_queue_has_every_flavor_and_each_flavor_every_resource(
    kustomized: Render, folder: str
) -> None:
    objects = kustomized(folder)
    [queue] = by_kind(objects, "ClusterQueue").values()
    groups = queue["spec"]["resourceGroups"]
    named = [flavor["name"] for group in groups for flavor in group["flavors"]]
    assert sorted(named) == sorted(by_kind(objects, "ResourceFlavor"))
    for group in groups:
        for flavor in group["flavors"]:
            resources = [resource["name"] for resource in flavor["resources"]]
            assert resources == group["coveredResources"]
    [local] = by_kind(objects, "LocalQueue").values()
    assert local["spec"]["clusterQueue"] == queue["metadata"]["name"]


@pytest.mark.parametrize("name", PLACES)
def test_a_target_fits_its_overlay(kustomized: Render, name: str) -> None:
    objects = kustomized(f"overlays/{name}")
    _, place = target(name)
    assert place.namespace in by_kind(objects, "Namespace")
    assert place.service_account in by_kind(objects, "ServiceAccount")
    assert place.queue in by_kind(objects, "LocalQueue")
    settings = by_kind(objects, "ConfigMap")["kdray-settings"]["data"]
    assert place.environment.items() <= settings.items()
    images = {
        container["image"].rpartition("/")[2]
        for one in objects
        for _, pod in schemas.pods_of(one, "")
        for container in pod["spec"]["containers"]
        if container["name"].startswith("ray-")
    }
    assert images == {place.image.rpartition("/")[2]}


def flavors_of(objects: list[dict[str, Any]], pod: dict[str, Any]) -> list[str]:
    """Return the flavors that Kueue may give a pod, the one it prefers first."""
    [queue] = by_kind(objects, "ClusterQueue").values()
    labels = {
        name: one["spec"].get("nodeLabels", {}) if "spec" in one else {}
        for name, one in by_kind(objects, "ResourceFlavor").items()
    }
    selector = pod["spec"].get("nodeSelector", {})
    wanted = pod["spec"]["containers"][0]["resources"]["requests"]
    return [
        flavor["name"]
        for group in queue["spec"]["resourceGroups"]
        for flavor in group["flavors"]
        if all(selector.get(key, value) == value for key, value in labels[flavor["name"]].items())
        and wanted.keys() <= {one["name"] for one in flavor["resources"] if one["nominalQuota"]}
    ]


@pytest.mark.parametrize(
    ("name", "flavors"),
    [
        ("local", {"head": ["kdray-cpu"], "cpu": ["kdray-cpu"]}),
        (
            "gpu",
            {
                "head": ["kdray-cpu", "kdray-gpu-spot", "kdray-gpu"],
                "cpu": ["kdray-cpu", "kdray-gpu-spot", "kdray-gpu"],
                "gpu": ["kdray-gpu-spot"],
                "gpu on any": ["kdray-gpu-spot", "kdray-gpu"],  # as infra/README.md says
            },
        ),
    ],
)
def test_the_queue_has_room_for_the_pods_of_a_job(
    kustomized: Render, name: str, flavors: dict[str, list[str]]
) -> None:
    objects = kustomized(f"overlays/{name}")
    order = Order("job", "Experiment", "job-1", "", "", "")
    _, place = target(name)
    pods = {"head": (place.head, 1)} | {one.name: (one, one.max) for one in place.groups}
    if "gpu" in pods:
        group, most = pods["gpu"]
        pods["gpu on any"] = (group.model_copy(update={"spot": False}), most)
    found = {
        what: flavors_of(objects, ray_pod(one, place, order, "worker"))
        for what, (one, _) in pods.items()
    }
    assert found == flavors
    [queue] = by_kind(objects, "ClusterQueue").values()
    quotas = {
        flavor["name"]: {one["name"]: one["nominalQuota"] for one in flavor["resources"]}
        for group in queue["spec"]["resourceGroups"]
        for flavor in group["flavors"]
    }
    asked: Counter[tuple[str, str]] = Counter()
    for what, (one, count) in pods.items():
        if what != "gpu on any":
            asked[flavors[what][0], "cpu"] += one.cpus * count
            asked[flavors[what][0], "nvidia.com/gpu"] += one.gpus * count
    assert not [key for key, sum_ in asked.items() if sum_ > quotas[key[0]].get(key[1], 0)]


@pytest.mark.parametrize("name", PLACES)
def test_the_rendered_service_is_that_of_its_job_and_target(name: str) -> None:
    from kdray.launch.kube.render import manifests
    from kdray.launch.order import make_order
    from kdray.spec import parse_job

    job = ROOT / "cluster" / "jobs" / "serve-quickstart.yaml"
    wanted, _ = target(name)
    order = make_order(str(job), [], wanted)
    folder = ROOT / "cluster" / "services" / name
    kept = [yaml.safe_load(file.read_text()) for file in sorted(folder.glob("[0-9]*.yaml"))]
    assert kept == manifests(order, parse_job(order.spec, str(job)), wanted), (
        f"run: kdray render {job.relative_to(ROOT)} --to cluster/targets/{name}.yaml "
        f"--out {folder.relative_to(ROOT)}"
    )


@pytest.mark.parametrize(
    ("folder", "groups"),
    [
        ("overlays/local", {"cpu": ({"CPU": 2}, 1)}),
        ("overlays/gpu", {"cpu": ({"CPU": 4}, 3), "gpu-spot": ({"CPU": 8, "GPU": 1}, 4)}),
    ],
)
def test_rays_autoscaler_reads_the_shared_cluster(
    kustomized: Render, folder: str, groups: dict[str, tuple[dict[str, int], int]]
) -> None:
    from ray.autoscaler._private.kuberay import autoscaling_config

    cluster = by_kind(kustomized(folder), "RayCluster")["shared"]
    config = autoscaling_config._derive_autoscaling_config_from_ray_cr(cluster)
    types = config["available_node_types"]
    read = {
        name: (
            {key: types[name]["resources"][key] for key in wanted},
            types[name]["max_workers"],
        )
        for name, (wanted, _) in groups.items()
    }
    assert read == groups
    assert set(types) == {*groups, "headgroup"}
    assert config["idle_timeout_minutes"] == 5
