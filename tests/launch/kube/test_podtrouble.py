from __future__ import annotations

from typing import Any

import pytest

from kdray.launch.kube.podtrouble import role, trouble
from tests.launch.kube.objects import event, in_state, pod, unscheduled


def test_a_pod_that_runs_has_no_trouble() -> None:
    assert trouble(in_state({"running": {}}, phase="Running")) == ""


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "0/3 nodes are available: 2 Insufficient nvidia.com/gpu, 1 node(s) didn't match "
            "Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is "
            "not helpful for scheduling.",
            "none of 3 nodes can take it: 2 have too little nvidia.com/gpu left (1 asked for); "
            "1 lacks the labels of node_selector (pool=gpu)",
        ),
        (
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. no new claims",
            "the only node has too little cpu left (2 asked for); it has too little memory left "
            "(4Gi asked for)",
        ),
        (
            "0/2 nodes are available: 2 node(s) had untolerated taint {gpu: only}. preemption: 0",
            "none of 2 nodes can take it: 2 have the taint gpu=only, which needs a toleration",
        ),
        (
            "0/2 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s). no new",
            "none of 2 nodes can take it: 1 has as many pods as allowed; 1 has taints, which need",
        ),
        (
            '0/2 nodes are available: persistentvolumeclaim "images" not found. preemption: 0',
            "the PersistentVolumeClaim images is missing: mend the target's volumes",
        ),
        ("no nodes available to schedule pods", "no node takes it: no nodes available to"),
    ],
)
def test_a_pod_without_a_node_says_what_nodes_lack(message: str, said: str) -> None:
    assert trouble(unscheduled(message, spec=_GPU)).startswith(said)


_GPU = {
    "nodeSelector": {"pool": "gpu"},
    "containers": [
        {
            "name": "ray-head",
            "resources": {"requests": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"}},
        }
    ],
}


def test_a_node_that_comes_is_told() -> None:
    waiting = unscheduled("0/1 nodes are available: 1 Insufficient cpu.")
    coming = event("tiny-1-head", "TriggeredScaleUp", "pod triggered scale-up", "Normal")
    assert trouble(waiting, [coming]).endswith("; a node is being added")


def test_other_pods_events_do_not_count() -> None:
    waiting = unscheduled("0/1 nodes are available: 1 Insufficient cpu.")
    assert "added" not in trouble(waiting, [event("another", "TriggeredScaleUp", "")])


def test_a_gated_pod_waits_in_a_queue() -> None:
    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
    assert trouble(pod(conditions=[gated])) == "it waits in a queue to be let in"


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        (
            {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x": not found'},
            "the image reg.example.org/kdray:1 cannot be pulled: the registry has no such image",
        ),
        (
            {"reason": "ErrImagePull", "message": "pull access denied, authorization failed"},
            "the image reg.example.org/kdray:1 cannot be pulled: the registry refuses it: name "
            "a Secret",
        ),
        (
            {"reason": "ErrImagePull", "message": "kdray@sha256:a4031f: not found"},
            "the image reg.example.org/kdray:1 cannot be pulled: the registry has no such image",
        ),
        (
            {"reason": "ErrImagePull", "message": "dial tcp: lookup reg: no such host"},
            "the image reg.example.org/kdray:1 cannot be pulled: the nodes cannot reach",
        ),
        ({"reason": "InvalidImageName"}, "the image's name 'reg.example.org/kdray:1' is not one"),
        ({"reason": "ErrImageNeverPull"}, "the image reg.example.org/kdray:1 is not on the node"),
        (
            {"reason": "CreateContainerConfigError", "message": 'secret "s3" not found'},
            "there is no Secret s3",
        ),
        (
            {
                "reason": "CreateContainerConfigError",
                "message": "couldn't find key id in Secret lab/s3",
            },
            "the Secret s3 has no key id",
        ),
        (
            {
                "reason": "CreateContainerConfigError",
                "message": "container has runAsNonRoot and image will run as root",
            },
            "the image runs as root",
        ),
    ],
)
def test_a_container_that_does_not_begin_says_why(waiting: dict[str, str], said: str) -> None:
    assert trouble(in_state({"waiting": waiting})).startswith(said)


def test_a_container_over_its_memory_names_the_limit() -> None:
    over: dict[str, Any] = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    said = "it was killed because it used more than its memory of 4Gi"
    assert trouble(in_state(over, phase="Failed")).startswith(said)
    again = in_state({"waiting": {"reason": "CrashLoopBackOff"}}, over)
    assert trouble(again).startswith(said)


def test_a_container_that_ends_says_its_last_line() -> None:
    ended = {"terminated": {"reason": "Error", "exitCode": 3, "message": "a\nno space\n"}}
    said = trouble(in_state(ended, phase="Failed"))
    assert said == "container ray-head ended with exit code 3: no space"


def test_a_pod_that_is_thrown_out_says_why() -> None:
    message = "The node was low on resource: ephemeral-storage. Threshold quantity: 1"
    said = trouble(pod(phase="Failed", reason="Evicted", message=message))
    assert said.startswith("its node threw it out: the node was low on resource: ephemeral-")


def test_a_spot_node_that_goes_is_told() -> None:
    gone = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
    assert "shutting down" in trouble(pod(phase="Running", conditions=[gone]))


def test_a_volume_that_cannot_be_mounted_names_what_is_missing() -> None:
    said = 'MountVolume.SetUp failed for volume "job" : configmap "spec" not found'
    assert trouble(pod(), [event("tiny-1-head", "FailedMount", said)]).startswith(
        "there is no ConfigMap spec"
    )


def test_roles_are_read_from_the_labels() -> None:
    assert role(pod()) == "head"
    assert role(pod(kind="worker", group="gpu")) == "worker of group gpu"
    assert role(pod(kind="submitter")) == "submitter"
