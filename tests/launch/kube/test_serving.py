"""What Serve is told of a service, where its keys come from, and whether there is room for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from ray.serve.schema import (
    HTTPOptionsSchema,
    LoggingConfig,
    ServeApplicationSchema,
    ServeDeploySchema,
)

from kdray.errors import JobError
from kdray.spec import Service
from tests.launch.kube.services import KEYS, rendered, sent, serve_config, worker_pod

KEYED: dict[str, Any] = {"serving": {"keys": KEYS}}


def unknown(config: dict[str, Any]) -> list[str]:
    """Return the keys of a Serve config that Ray would pass over in silence."""
    parts: list[tuple[dict[str, Any], type[BaseModel]]] = [
        (config, ServeDeploySchema),
        (config["http_options"], HTTPOptionsSchema),
        (config["logging_config"], LoggingConfig),
        *((each, ServeApplicationSchema) for each in config["applications"]),
    ]
    return [key for part, model in parts for key in part if key not in model.model_fields]


def test_ray_takes_the_configuration_and_knows_every_key_of_it(tmp_path: Path) -> None:
    config = serve_config(rendered(tmp_path))
    read = ServeDeploySchema.model_validate(config)
    assert unknown(config) == []
    assert [app.name for app in read.applications] == ["kdray"]
    assert read.http_options.host == "0.0.0.0"


def test_a_typing_error_in_it_would_be_found() -> None:
    config = {
        "proxy_locaton": "EveryNode",
        "http_options": {"prot": 8000},
        "logging_config": {},
        "applications": [{"name": "kdray", "route_prefx": "/"}],
    }
    assert unknown(config) == ["proxy_locaton", "prot", "route_prefx"]


def test_the_application_that_it_names_takes_its_arguments(tmp_path: Path) -> None:
    from ray.serve import Application

    from kdray_serve import deployment

    (app,) = serve_config(rendered(tmp_path))["applications"]
    module, _, name = app["import_path"].partition(":")
    assert module == deployment.__name__
    assert isinstance(getattr(deployment, name)(app["args"]), Application)


def test_the_job_arrives_as_it_was_written_but_for_address_and_places(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "port": 9000,
        "canary": {"version": "next", "percent": 5},
        "cors": ["https://pacs.example.org"],
        "limits": {"max_pixels": 1_000_000},
    }
    objects = rendered(tmp_path, **fields)
    (app,) = serve_config(objects)["applications"]
    service = Service.model_validate(app["args"])
    assert service.canary is not None
    assert service.canary.version == "next"
    assert service.limits.max_pixels == 1_000_000
    assert (service.registry, service.storage) == ("s3://lab/kdray/registry", "s3://lab/kdray")
    assert (service.host, service.port) == ("0.0.0.0", 8000)
    (port,) = objects["RayService"]["spec"]["serveService"]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (9000, 8000)


@pytest.mark.parametrize("auth", [None, "none"])
def test_a_service_without_keys_is_refused_with_what_to_do(tmp_path: Path, auth: Any) -> None:
    with pytest.raises(JobError, match="kubectl create secret") as refused:
        rendered(tmp_path, auth=auth)
    assert refused.value.exit_code == 2


def test_a_file_of_keys_is_mounted_from_its_secret(tmp_path: Path) -> None:
    objects = rendered(tmp_path, auth={"file": "/home/me/ward.yaml"})
    (app,) = serve_config(objects)["applications"]
    pod = worker_pod(objects)["spec"]
    (volume,) = (each for each in pod["volumes"] if each["name"] == "keys")
    (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "keys")
    assert app["args"]["auth"] == {"file": f"{mount['mountPath']}/ward.yaml"}
    items = [{"key": "keys.yaml", "path": "ward.yaml"}]
    assert volume["secret"] == {"secretName": "ward-keys", "items": items}
    assert "subPath" not in mount  # which would never show a changed Secret


def test_the_head_does_not_see_the_keys(tmp_path: Path) -> None:
    head = rendered(tmp_path)["RayService"]["spec"]["rayClusterConfig"]["headGroupSpec"]
    assert "ward-keys" not in str(head)


@pytest.mark.parametrize(
    "place", [KEYED, {"secret_environment": {"WARD_KEYS": KEYS}}], ids=["keys", "environment"]
)
def test_keys_in_a_variable_come_from_a_secret(tmp_path: Path, place: dict[str, Any]) -> None:
    pod = worker_pod(rendered(tmp_path, place, auth={"environment": "WARD_KEYS"}))["spec"]
    given = [each for each in pod["containers"][0]["env"] if each["name"] == "WARD_KEYS"]
    source = {"secretKeyRef": {"name": "ward-keys", "key": "keys.yaml"}}
    assert given == [{"name": "WARD_KEYS", "valueFrom": source}]


def test_keys_written_into_the_target_are_refused(tmp_path: Path) -> None:
    place = {"serving": {"keys": KEYS}, "environment": {"WARD_KEYS": "x"}}
    with pytest.raises(JobError, match=r"WARD_KEYS in `environment`.*secret_environment"):
        rendered(tmp_path, place, auth={"environment": "WARD_KEYS"})


def test_keys_on_a_volume_of_the_target_need_no_secret(tmp_path: Path) -> None:
    place = {"volumes": [{"claim": "lab", "path": "/lab"}]}
    objects = rendered(tmp_path, place, auth={"file": "/lab/keys.yaml"})
    (app,) = serve_config(objects)["applications"]
    assert app["args"]["auth"] == {"file": "/lab/keys.yaml"}


@pytest.mark.parametrize("auth", [{"file": "/lab/keys.yaml"}, {"environment": "WARD_KEYS"}])
def test_keys_that_pods_would_not_find_are_refused(tmp_path: Path, auth: dict[str, str]) -> None:
    with pytest.raises(JobError, match="Secret"):
        rendered(tmp_path, {}, auth=auth)


def test_a_pod_has_room_for_a_replica_of_each_kind(tmp_path: Path) -> None:
    scaling = {"min_replicas": 2, "max_replicas": 5}
    objects = rendered(
        tmp_path, {"autoscale": True, **KEYED}, autoscaling=scaling, cpus_per_replica=1.5
    )
    (group,) = objects["RayService"]["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert group["resources"]["CPU"] == "3"
    assert (group["minReplicas"], group["maxReplicas"]) == (2, 5)


def test_groups_without_room_for_what_always_runs_are_refused(tmp_path: Path) -> None:
    place = {**KEYED, "groups": [{"name": "small", "cpus": 3, "max": 1}]}
    assert rendered(tmp_path, place)  # two replicas of a CPU
    with pytest.raises(JobError, match=r"4 replicas of 1 CPUs .* room for 3"):
        rendered(tmp_path, place, autoscaling={"min_replicas": 2, "max_replicas": 2})


def test_a_replica_does_not_span_pods(tmp_path: Path) -> None:
    place = {**KEYED, "groups": [{"name": "small", "cpus": 3, "max": 4}]}
    with pytest.raises(JobError, match="room for 0"):
        rendered(tmp_path, place, cpus_per_replica=4)


def test_the_service_is_read_from_what_is_sent(tmp_path: Path) -> None:
    order, _ = sent(tmp_path)
    assert order.kind == "Service"
    assert "s3://lab/kdray" in order.spec


def test_a_registry_that_is_only_read_may_be_on_a_volume_that_cannot_be_written(
    tmp_path: Path,
) -> None:
    place = {**KEYED, "volumes": [{"claim": "models", "path": "/models"}]}
    (app,) = serve_config(rendered(tmp_path, place, registry="/models/lab"))["applications"]
    assert app["args"]["registry"] == "/models/lab"
    with pytest.raises(JobError, match="read-only"):
        rendered(tmp_path, place, storage="/models/runs")
