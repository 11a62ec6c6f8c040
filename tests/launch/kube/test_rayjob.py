"""An experiment as a RayJob."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import ray
from pydantic import ValidationError

from kdray.launch.kube.rayjob import ray_job
from kdray.run.environment import SETTINGS
from tests.launch.kube.given import given_job, given_order, given_place
from tests.launch.kube.schemas import check, open_doors, pods_of

EVERYTHING: dict[str, Any] = {
    "image": "registry.example/kdray:1",
    "pull_secrets": ["pull"],
    "service_account": "trainer",
    "autoscale": True,
    "deadline_seconds": 3600,
    "queue": "lab",
    "priority_class": "high",
    "head": {"node_selector": {"pool": "small"}},
    "groups": [
        {"name": "cpu", "min": 1, "max": 4},
        {
            "name": "gpu",
            "max": 8,
            "cpus": 8,
            "gpus": 1,
            "memory": "32Gi",
            "shm": "8Gi",
            "spot": True,
            "tolerations": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
        },
    ],
    "spot_selector": {"life": "spot"},
    "spot_tolerations": [{"key": "spot", "value": "true"}],
    "secret_environment": {"AWS_SECRET_ACCESS_KEY": {"secret": "s3", "key": "key"}},
    "environment": {"AWS_ENDPOINT_URL": "http://minio:9000"},
    "volumes": [{"claim": "images", "path": "/data"}],
}


def made(*sets: str, **fields: Any) -> dict[str, Any]:
    return ray_job(given_order(), given_job(*sets), given_place(**fields))


@pytest.mark.parametrize("fields", [{}, EVERYTHING], ids=["least", "everything"])
def test_a_ray_job_is_what_kuberays_schema_says(fields: dict[str, Any]) -> None:
    check(made(**fields))


def test_all_pods_are_closed() -> None:
    pods = dict(pods_of(made(**EVERYTHING)))
    assert len(pods) == 4  # submitter, head, two groups
    assert [door for pod in pods.values() for door in open_doors(pod)] == []
    options = made(**EVERYTHING)["spec"]["rayClusterSpec"]["autoscalerOptions"]
    assert options["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_driver_runs_the_file_of_the_config_map_on_the_head() -> None:
    spec = made()["spec"]
    assert spec["entrypoint"] == "kdray run /etc/kdray/job.yaml --plain"
    head = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert "/etc/kdray" in [m["mountPath"] for m in head["containers"][0]["volumeMounts"]]
    worker = spec["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
    assert "/etc/kdray" not in [m["mountPath"] for m in worker["containers"][0]["volumeMounts"]]


def test_the_driver_writes_its_id_into_the_jobs_state() -> None:
    head = made()["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert {"name": "KDRAY_LAUNCH", "value": "lesions-0123abcd"} in head["containers"][0]["env"]


def head_container(job: dict[str, Any]) -> dict[str, Any]:
    pod = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    container: dict[str, Any] = pod["containers"][0]
    return container


def test_the_driver_keeps_its_log_in_the_storage_for_the_cluster_goes() -> None:
    assert {"name": "KDRAY_LOG_TO_STORAGE", "value": "1"} in head_container(made())["env"]


@pytest.mark.parametrize("fields", [{}, {"auth": "none"}], ids=["least", "no token"])
def test_no_variable_of_the_head_can_be_given_again_by_the_target(fields: dict[str, Any]) -> None:
    for variable in {one["name"] for one in head_container(made(**fields))["env"]} - set(SETTINGS):
        with pytest.raises(ValidationError, match=f"{variable} is set by kdray"):
            given_place(environment={variable: "x"})


def test_a_stopped_driver_has_less_time_than_its_pod() -> None:
    variables = {one["name"]: one.get("value") for one in head_container(made())["env"]}
    _, pod = next(pods_of(made()["spec"]["rayClusterSpec"]))
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    assert 0 < int(variables["RAY_JOB_STOP_WAIT_TIME_S"]) < grace


def leave(folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run what the head does before it ends, where this folder is /proc."""
    command = head_container(made())["lifecycle"]["preStop"]["exec"]["command"]
    command = [word.replace("/proc/", f"{folder}/") for word in command]
    return subprocess.run(command, timeout=20)  # less than it waits for a driver


def test_a_head_without_a_driver_ends_at_once(tmp_path: Path) -> None:
    assert leave(tmp_path / "nowhere").returncode == 0


def test_a_head_tells_its_driver_to_stop_and_stays_until_it_has(tmp_path: Path) -> None:
    driver = subprocess.Popen(["sleep", "60"])
    process = tmp_path / str(driver.pid)
    process.mkdir()
    words = ["python", *made()["spec"]["entrypoint"].split()]
    (process / "cmdline").write_bytes("".join(f"{word}\0" for word in words).encode())
    # The driver is looked for again until it is gone, and with it its file.
    gone = threading.Thread(target=lambda: (driver.wait(), (process / "cmdline").unlink()))
    gone.start()
    assert leave(tmp_path).returncode == 0
    gone.join()
    assert driver.returncode == -signal.SIGTERM


def test_a_head_takes_neither_its_own_command_nor_a_shell_for_the_driver(tmp_path: Path) -> None:
    own = head_container(made())["lifecycle"]["preStop"]["exec"]["command"]
    shell = ["/bin/sh", "-c", made()["spec"]["entrypoint"]]
    for number, words in enumerate((own, shell), 2_000_000_000):
        (tmp_path / str(number)).mkdir()
        text = "".join(f"{word}\0" for word in words)
        (tmp_path / str(number) / "cmdline").write_text(text)
    assert leave(tmp_path).returncode == 0


def test_a_failed_driver_gets_a_new_cluster_so_often() -> None:
    assert made(retries=5)["spec"]["backoffLimit"] == 5


def test_a_finished_job_gives_its_pods_back() -> None:
    spec = made(keep_seconds=10)["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] == 10


def test_a_deadline_is_given_where_there_is_one() -> None:
    assert made(deadline_seconds=60)["spec"]["activeDeadlineSeconds"] == 60
    assert "activeDeadlineSeconds" not in made()["spec"]


def test_a_queued_job_waits_for_kueue() -> None:
    job = made(queue="lab")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "lab"
    assert job["spec"]["suspend"] is True
    assert "kueue.x-k8s.io/elastic-job" not in job["metadata"]["annotations"]
    assert "suspend" not in made()["spec"]


def test_kueue_is_told_of_a_cluster_that_grows() -> None:
    annotations = made(queue="lab", autoscale=True)["metadata"]["annotations"]
    assert annotations["kueue.x-k8s.io/elastic-job"] == "true"


def test_all_pods_have_the_priority() -> None:
    pods = dict(pods_of(made(priority_class="high")))
    assert {pod["spec"]["priorityClassName"] for pod in pods.values()} == {"high"}


def test_no_secret_is_written_out() -> None:
    key = {"secret": "s3", "key": "key"}
    text = json.dumps(made(secret_environment={"AWS_SECRET_ACCESS_KEY": key}))
    assert text.count('"valueFrom": {"secretKeyRef": {"name": "s3", "key": "key"}}') == 2
    assert '"name": "AWS_SECRET_ACCESS_KEY", "value"' not in text


def test_the_submitter_has_no_secrets_and_no_shared_memory() -> None:
    key = {"secret": "s3", "key": "key"}
    spec = made(secret_environment={"AWS_SECRET_ACCESS_KEY": key})["spec"]
    pod = spec["submitterPodTemplate"]["spec"]
    assert "AWS_SECRET_ACCESS_KEY" not in json.dumps(pod)
    assert [volume["name"] for volume in pod["volumes"]] == ["scratch"]
    assert pod["restartPolicy"] == "Never"


def test_the_submitter_runs_beside_the_head() -> None:
    spec = made()["spec"]
    (wish,) = spec["submitterPodTemplate"]["spec"]["affinity"]["podAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    head = spec["rayClusterSpec"]["headGroupSpec"]["template"]["metadata"]["labels"]
    assert wish["podAffinityTerm"]["labelSelector"]["matchLabels"].items() <= head.items()


def test_rays_version_is_the_one_that_is_installed() -> None:
    assert made()["spec"]["rayClusterSpec"]["rayVersion"] == ray.__version__


@pytest.mark.parametrize(("auth", "mode"), [("token", "token"), ("none", "disabled")])
def test_ray_asks_for_a_token_unless_told_otherwise(auth: str, mode: str) -> None:
    assert made(auth=auth)["spec"]["rayClusterSpec"]["authOptions"] == {"mode": mode}


def test_without_autoscaling_all_pods_are_there_from_the_start() -> None:
    (group,) = made(groups=[{"name": "cpu", "min": 1, "max": 4}])["spec"]["rayClusterSpec"][
        "workerGroupSpecs"
    ]
    assert [group[f] for f in ("minReplicas", "replicas", "maxReplicas")] == [4, 4, 4]


def test_with_autoscaling_pods_come_and_go_between_min_and_max() -> None:
    groups = [{"name": "cpu", "min": 1, "max": 4}]
    cluster = made(groups=groups, autoscale=True, idle_seconds=30)["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    assert [group[f] for f in ("minReplicas", "replicas", "maxReplicas")] == [1, 1, 4]
    assert group["idleTimeoutSeconds"] == 30
    assert cluster["autoscalerOptions"]["version"] == "v2"
    # KubeRay refuses another policy than Never with this autoscaler, and sets that itself.
    assert "restartPolicy" not in group["template"]["spec"]


def test_nothing_is_said_of_fault_tolerance_of_a_jobs_head() -> None:
    redis = {"redis": "redis:6379"}
    assert "gcsFaultToleranceOptions" not in made(fault_tolerance=redis)["spec"]["rayClusterSpec"]


def test_a_storage_is_in_no_shell_command() -> None:
    order = given_order(storage="s3://bucket/$(reboot)")
    spec = ray_job(order, given_job(), given_place())["spec"]
    assert "reboot" not in json.dumps(spec)
