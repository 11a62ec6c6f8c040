from __future__ import annotations

from typing import Any

import pytest

from kdray.launch.kube.labels import QUEUE
from kdray.launch.kube.trouble import Facts, exit_code, names, reason, since, state
from tests.launch.kube.objects import NOW, event, in_state, pod, ray_job, unscheduled

RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
FAILED = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed"}
ENDED = "Job entrypoint command failed with exit code {}, last available logs (truncated):\n{}"


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, "pending"),
        ({"jobDeploymentStatus": "Initializing"}, "pending"),
        ({"jobDeploymentStatus": "Running", "jobStatus": "PENDING"}, "pending"),
        (RUNNING, "running"),
        ({"jobDeploymentStatus": "Running", "jobStatus": "SUCCEEDED"}, "running"),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, "finished"),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, "stopped"),
        (FAILED, "failed"),
        ({"jobDeploymentStatus": "ValidationFailed"}, "failed"),
        ({"jobDeploymentStatus": "Retrying"}, "pending"),
        ({"jobDeploymentStatus": "Suspended"}, "pending"),
    ],
)
def test_kuberays_states_are_told_as_those_of_jobs(status: dict[str, str], wanted: str) -> None:
    assert state(ray_job(**status)) == wanted


def test_a_job_that_is_being_deleted_is_stopped() -> None:
    job = ray_job(**RUNNING)
    job["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    assert state(job) == "stopped"


def test_the_exit_code_is_the_drivers() -> None:
    assert exit_code(ray_job(**FAILED, message=ENDED.format(2, "x"))) == 2
    assert exit_code(ray_job(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")) == 0
    assert exit_code(ray_job(jobDeploymentStatus="Complete", jobStatus="STOPPED")) == 130
    assert exit_code(ray_job(**RUNNING)) is None
    assert exit_code(ray_job(**FAILED, message="The head is gone")) is None


def told(job: dict[str, Any], *, later: float = 5.0, **facts: Any) -> str:
    return reason(Facts(job, NOW + later, **facts))


def test_a_finished_job_needs_no_reason() -> None:
    assert told(ray_job(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")) == ""


def test_a_refused_job_file_is_told_with_its_problems() -> None:
    log = "kdray 0.1.0\nerror job.yaml:3: no model 'x'.\nerror job.yaml:4: no method 'y'.\n"
    said = told(ray_job(**FAILED, message=ENDED.format(2, log).replace("truncated", "truncated")))
    assert said == (
        "The job file is refused: job.yaml:3: no model 'x'.; job.yaml:4: no method 'y'."
    )


def test_a_driver_that_fails_is_told_with_its_last_line() -> None:
    said = told(ray_job(**FAILED, failed=3, message=ENDED.format(1, "a\nerror no images.\n")))
    assert said == "The driver failed with exit code 1: no images. It was tried 3 times."


def test_a_killed_driver_lacks_memory() -> None:
    said = told(ray_job(**FAILED, message=ENDED.format(-9, "")))
    assert said.startswith("The driver was killed, most likely for lack of memory")


def test_a_head_over_its_memory_is_told_from_kuberays_event() -> None:
    killed = event(
        "tiny-1-abc",
        "DeletedHeadPod",
        "Deleted head Pod lab/x; Ray container terminated status: &{137 0 OOMKilled}",
        "Normal",
    )
    lost = ray_job(**FAILED, message="Submitter completed but Ray job not found in RayCluster.")
    assert told(lost, events=(killed,)).startswith("The head was killed because it used more")
    assert told(lost) == "The head was lost while the job ran."


def test_a_driver_that_ray_killed_for_memory_is_told_with_the_figure_alone() -> None:
    message = (
        "Unexpected error occurred: 1 worker(s) were killed due to the node running low on "
        "memory. Memory on the node (IP: 10.0.0.7, ID: 43) was 0.97GB used / 1.00GB limit (0.97)\n"
        "OOM kill reason: Memory usage 1028820992B exceeded threshold"
    )
    said = told(ray_job(**FAILED, failed=3, message=message))
    assert said == (
        "The head ran out of memory (0.97GB of 1.00GB used): ask for more memory for the "
        "target's head. It was tried 3 times."
    )


def test_a_second_try_says_so() -> None:
    assert told(ray_job(**RUNNING, failed=1)) == "This is try 2 of 3: the one before failed."


def test_a_deadline_is_named() -> None:
    job = ray_job(
        jobDeploymentStatus="Failed",
        reason="DeadlineExceeded",
        message="The RayJob has passed the activeDeadlineSeconds",
        spec={"activeDeadlineSeconds": 60},
    )
    assert told(job) == "It took longer than the target's deadline_seconds, 60."


def test_what_kuberay_refuses_is_quoted() -> None:
    job = ray_job(jobDeploymentStatus="ValidationFailed", reason="ValidationFailed", message="no")
    assert told(job) == "KubeRay's operator refuses the job: no."


def test_without_an_operator_nothing_happens() -> None:
    assert told(ray_job(), later=5) == ""
    assert told(ray_job(), later=60).startswith("KubeRay's operator has not taken it up")


def test_the_heads_trouble_comes_first_and_alike_workers_are_counted() -> None:
    image = {"waiting": {"reason": "ErrImageNeverPull"}}
    lacking = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    workers = [
        unscheduled(lacking, name=f"w{number}", kind="worker", group="gpu") for number in (1, 2)
    ]
    idle = pod("w3", kind="worker", group="gpu", phase="Running")
    job = ray_job(jobDeploymentStatus="Initializing")
    assert told(job, pods=(*workers, idle, in_state(image))) == (
        "The head pod: the image reg.example.org/kdray:1 is not on the node, and pull_policy is "
        "Never. 2 of 3 workers of group gpu: none of 2 nodes can take it: 2 have too little "
        "nvidia.com/gpu left (1 asked for)."
    )


def test_pods_that_a_quota_forbids_are_told_from_events() -> None:
    said = (
        'Failed to create head Pod lab/x, pods "x" is forbidden: exceeded quota: team, '
        "requested: cpu=4, used: cpu=0, limited: cpu=2"
    )
    job = ray_job(jobDeploymentStatus="Initializing")
    assert told(job, events=(event("tiny-1-abc", "FailedToCreateHeadPod", said),)).startswith(
        "Its pods cannot be made: the namespace's quota 'team' leaves no room: 4 cpu asked for, "
        "0 of 2 in use."
    )


def test_a_queued_job_says_what_kueue_says() -> None:
    job = ray_job(jobDeploymentStatus="Suspended", spec={"suspend": True})
    job["metadata"]["labels"][QUEUE] = "team"
    said = "couldn't assign flavors to pod set head: insufficient quota for cpu"
    condition = {"type": "QuotaReserved", "status": "False", "message": said}
    assert told(job, workload={"status": {"conditions": [condition]}}) == (
        f"It waits in queue team: {said}."
    )
    assert told(job).startswith("It waits in queue team: Kueue has not taken it up.")


def test_a_suspended_job_without_a_queue_says_how_it_goes_on() -> None:
    job = ray_job(jobDeploymentStatus="Suspended", spec={"suspend": True})
    assert told(job).startswith("It is suspended: set spec.suspend")


def test_events_are_asked_for_the_job_its_cluster_and_waiting_pods() -> None:
    facts = Facts(
        ray_job(),
        NOW,
        clusters=({"metadata": {"name": "c"}},),
        pods=(pod("w", kind="worker"), pod("h"), pod("r", phase="Running")),
    )
    assert list(names(facts)) == ["tiny-1", "c", "h", "w"]


def test_times_are_unix_seconds() -> None:
    assert since("2026-01-01T00:00:00Z") == NOW
    assert since(None) is None
