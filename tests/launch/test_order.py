from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kdray.errors import JobError
from kdray.launch.order import below, make_order, order_id
from kdray.launch.targets import find_target
from kdray.plan import experiments_of, read_job
from kdray.spec import Service, Target, parse_job
from kdray.spec.yaml import Document, dump

ROOT = Path(__file__).resolve().parents[2]
JOBS = sorted((ROOT / "jobs").rglob("*.yaml"))
QUICKSTART = ROOT / "jobs" / "quickstart.yaml"
SERVICE = ROOT / "jobs" / "serve-quickstart.yaml"


def target(
    kind: str = "kubernetes", storage: str | None = "s3://lab/runs", **place: Any
) -> Target:
    tree = {"apiVersion": "kdray/v1", "kind": "Target", "name": "lab", "storage": storage}
    return Target.model_validate({**tree, "place": {"kind": kind, **place}})


@pytest.mark.parametrize("file", JOBS, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_is_sent_is_the_job_with_the_targets_folders(file: Path) -> None:
    variables = re.findall(r"\$\{(\w+)", file.read_text(encoding="utf-8"))
    env = dict.fromkeys(variables, "/x")
    order = make_order(file, (), target(), env)
    sent = parse_job(order.spec, "sent", env={})
    assert sent == read_job(file, order.sets, env)
    if isinstance(sent, Service):
        assert (sent.storage, sent.registry) == ("s3://lab/runs", "s3://lab/runs/registry")
        return
    for experiment in experiments_of(sent):
        assert experiment.storage.uri == order.storage == "s3://lab/runs"
        assert experiment.promote.registry == "s3://lab/runs/registry"


@pytest.mark.parametrize("file", JOBS, ids=lambda file: str(file.relative_to(ROOT)))
def test_an_id_fits_the_names_of_kubernetes(file: Path) -> None:
    variables = re.findall(r"\$\{(\w+)", file.read_text(encoding="utf-8"))
    order = make_order(file, (), target(), dict.fromkeys(variables, "/x"))
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", order.id)
    assert len(order.id) <= 44


@pytest.mark.parametrize("name", ["a" * 63, "3d.unet", "x.-y", "-", "a" * 34 + ".b"])
def test_any_name_of_a_job_makes_an_id(name: str) -> None:
    id = order_id(name, "spec")
    assert re.fullmatch(r"[a-z][a-z0-9-]*-[0-9a-f]{8}", id)
    assert "--" not in id
    assert len(id) <= 44


def test_the_same_job_has_the_same_id_and_another_one_another() -> None:
    first = make_order(QUICKSTART, (), target())
    assert make_order(QUICKSTART, (), target()).id == first.id
    assert make_order(QUICKSTART, ["search.trials=5"], target()).id != first.id
    assert make_order(QUICKSTART, (), target(storage="s3://lab/other")).id != first.id


def test_a_changed_service_keeps_its_id() -> None:
    first = make_order(SERVICE, (), target())
    assert make_order(SERVICE, ["memory_mb=512"], target()).id == first.id


def test_on_this_machine_folders_stay_as_they_are() -> None:
    order = make_order(QUICKSTART, ["search.trials=5"], find_target("local", {}))
    assert (order.storage, order.sets) == ("runs", ("search.trials=5",))


def test_a_storage_of_the_job_itself_is_kept_and_has_the_registry_beside_it() -> None:
    order = make_order(QUICKSTART, ["storage.uri=s3://own/p?region=eu"], target())
    assert order.storage == "s3://own/p?region=eu"
    assert order.sets[-1] == "promote.registry=s3://own/p/registry?region=eu"


def test_a_registry_of_the_target_is_taken() -> None:
    place = target().model_copy(update={"registry": "s3://models"})
    assert make_order(QUICKSTART, (), place).sets[-1] == "promote.registry=s3://models"


@pytest.mark.parametrize("kind", ["ray", "kubernetes"])
@pytest.mark.parametrize("file", [QUICKSTART, ROOT / "jobs" / "papers" / "tkd-grid.yaml"])
def test_a_folder_of_this_machine_is_not_sent_to_a_cluster(kind: str, file: Path) -> None:
    variables = re.findall(r"\$\{(\w+)", file.read_text(encoding="utf-8"))
    with pytest.raises(JobError, match=r"storage\.uri: 'runs' is a folder of this") as failed:
        make_order(file, (), target(kind, storage=None), dict.fromkeys(variables, "/x"))
    assert "storage: s3://" in failed.value.remedy


@pytest.mark.parametrize(
    "uri",
    [
        "s3://b/p?access_key=A&secret_key=hidden",
        "s3://b/p?session_token=hidden",
        "s3://user:hidden@b/p",
    ],
)
@pytest.mark.parametrize("kind", ["ray", "kubernetes"])
def test_keys_inside_a_uri_are_not_sent_and_not_repeated(uri: str, kind: str) -> None:
    with pytest.raises(JobError) as failed:
        make_order(QUICKSTART, [f"storage.uri={uri}"], target(kind))
    assert "keys inside a URI" in str(failed.value)
    assert "hidden" not in str(failed.value)


def test_keys_inside_a_uri_stay_on_this_machine() -> None:
    uri = "s3://b/p?access_key=A&secret_key=B"
    assert make_order(QUICKSTART, [f"storage.uri={uri}"], find_target("local", {})).storage == uri


def test_a_folder_of_a_pod_has_to_be_a_volume_that_can_be_written() -> None:
    sets = ["storage.uri=/data/runs", "promote.registry=/data/registry"]
    with pytest.raises(JobError, match="on no volume of the target"):
        make_order(QUICKSTART, sets, target())
    volume = {"claim": "data", "path": "/data"}
    with pytest.raises(JobError, match="read-only"):
        make_order(QUICKSTART, sets, target(volumes=[volume]))
    writable = target(volumes=[{**volume, "read_only": False}])
    assert make_order(QUICKSTART, sets, writable).storage == "/data/runs"


def test_a_folder_that_the_nodes_of_a_ray_cluster_share_is_sent() -> None:
    order = make_order(QUICKSTART, ["storage.uri=/nfs/runs"], target("ray", storage=None))
    assert order.sets[-1] == "promote.registry=/nfs/runs/registry"


@pytest.mark.parametrize("kind", ["local", "ray"])
def test_a_service_goes_to_kubernetes_only(kind: str) -> None:
    with pytest.raises(JobError, match="is a Service") as failed:
        make_order(SERVICE, (), target(kind))
    assert "kdray serve" in failed.value.remedy


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data.source", "{name: folder, params: {path: images}}"),
        (
            "students",
            "[{id: tiny, model: {name: timm, params: {arch: resnet18}}, weights: ./w.pth}]",
        ),
        ("search.warm_start", "runs/jobs/other"),
    ],
)
def test_files_beside_the_job_file_are_not_seen_by_a_cluster(field: str, value: str) -> None:
    sets = [f"{field}={value}"]
    assert make_order(QUICKSTART, sets, find_target("local", {})).sets == tuple(sets)
    for kind in ("ray", "kubernetes"):
        with pytest.raises(JobError, match="is relative to a folder of this machine") as failed:
            make_order(QUICKSTART, sets, target(kind))
        assert "Only the job file is sent" in failed.value.remedy


@pytest.mark.parametrize("path", ["/data/images", "s3://lab/images", "~/images"])
def test_images_that_the_nodes_may_see_are_named_to_them(path: str) -> None:
    sets = [f"data.source={{name: folder, params: {{path: {path}}}}}"]
    assert path in make_order(QUICKSTART, sets, target("ray")).spec


def test_the_settings_of_a_uri_stay_at_its_end() -> None:
    assert below("s3://b/p/?region=x", "registry") == "s3://b/p/registry?region=x"
    assert below("/nfs/runs", "registry") == "/nfs/runs/registry"


def test_words_that_look_like_numbers_stay_words() -> None:
    tree = {"words": ["1e-3", "1e3", "yes", "010", "0o7", "3", "null", "2026-01-01", ".5", "~"]}
    tree |= {"numbers": [1e-3, 1e-7, 3, 0.5, True, None]}
    assert Document(dump(tree), "x", {}).tree == tree
