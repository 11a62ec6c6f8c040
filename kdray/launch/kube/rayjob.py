"""An experiment or a suite as a RayJob: a cluster of its own, a driver on its head, retries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kdray.launch.kube.cluster import ray_cluster
from kdray.launch.kube.configmap import PATH, spec_mount
from kdray.launch.kube.groups import groups_of
from kdray.launch.kube.labels import ELASTIC, QUEUE, metadata, pod_labels
from kdray.launch.kube.names import object_name
from kdray.launch.kube.pods import GRACE_S, Extra, pod_template, quiet, scratch_mounts
from kdray.launch.place import LAUNCH, Order
from kdray.run.output import LOG_TO_STORAGE
from kdray.spec import Experiment, Suite
from kdray.spec.target import Kubernetes

#: What the driver is.
ENTRYPOINT = f"kdray run {PATH} --plain"
#: How long a driver that is told to stop may take before it is killed, seconds.
STOP_S = GRACE_S - 15
#: What a head does before it ends: it asks the driver to stop, since KubeRay does so only where a
#: job is deleted, not where Kueue takes its room back or a node is drained; then it stays for the
#: driver, which writes down where it is. The driver is who has the file as an argument of its own;
#: a shell that starts it has it inside one.
_AFTER_DRIVER = (
    f"for i in {{1..{STOP_S}}}; do "
    f"found=$(grep -lzsxF '{PATH}' /proc/[0-9]*/cmdline) || exit 0; "
    'for file in $found; do pid=${file#/proc/}; [ $i -gt 1 ] || kill "${pid%/*}"; done; '
    "sleep 1; done"
)
#: How often the submitter's pod is made again: it may lose the head for a moment.
_SUBMITTER_RETRIES = 2


def ray_job(order: Order, job: Experiment | Suite, place: Kubernetes) -> dict[str, Any]:
    """Return the RayJob of an experiment or a suite.

    Raises:
        LaunchError: Its id is no name for KubeRay.
    """
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": _metadata(order, place),
        "spec": {
            "entrypoint": ENTRYPOINT,
            # No storage here: KubeRay writes these into a shell command.
            "metadata": {"kdray.job": order.job, "kdray.id": order.id},
            "submissionMode": "K8sJobMode",
            "submitterPodTemplate": _submitter(order, place),
            "submitterConfig": {"backoffLimit": _SUBMITTER_RETRIES},
            "backoffLimit": place.retries,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": place.keep_seconds,
            **(
                {"activeDeadlineSeconds": place.deadline_seconds} if place.deadline_seconds else {}
            ),
            **({"suspend": True} if place.queue else {}),
            "rayClusterSpec": ray_cluster(order, place, groups_of(job, place), _driver(order)),
        },
    }


def _metadata(order: Order, place: Kubernetes) -> dict[str, Any]:
    """Return the RayJob's metadata; a queued one is admitted by Kueue, which then resumes it."""
    found = metadata(object_name(order), order, place, "job")
    found["annotations"]["kdray/kind"] = order.kind
    if place.queue:
        found["labels"][QUEUE] = place.queue
        if place.autoscale:
            found["annotations"][ELASTIC] = "true"
    return found


def _driver(order: Order) -> Extra:
    """Return what the head has for the driver: its file, its id, where its log goes, and time."""
    variables = {
        LAUNCH: order.id,
        LOG_TO_STORAGE: "1",
        "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S),
    }
    return replace(
        spec_mount(order),
        environment=tuple({"name": name, "value": variables[name]} for name in variables),
        leave=("bash", "-c", _AFTER_DRIVER),
    )


def _submitter(order: Order, place: Kubernetes) -> dict[str, Any]:
    """Return the pod that hands the driver to Ray and prints what it prints.

    It runs beside the head if it can, where the image is already.
    """
    size = {"cpu": "500m", "memory": "512Mi"}
    container = {
        "name": "ray-job-submitter",
        "resources": {"requests": size, "limits": dict(size)},
        "env": quiet(place),
        "volumeMounts": scratch_mounts(),
    }
    template = pod_template(place.head, place, pod_labels(order, "submitter"), container)
    spec = template["spec"]
    spec["restartPolicy"] = "Never"
    spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] == "scratch"]
    head = {
        "labelSelector": {"matchLabels": pod_labels(order, "head")},
        "topologyKey": "kubernetes.io/hostname",
    }
    spec["affinity"] = {
        "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "podAffinityTerm": head}
            ]
        }
    }
    return template
