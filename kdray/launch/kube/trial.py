"""Whether a cluster would take a RayJob as kdray makes it: asked by a dry run."""

from __future__ import annotations

from collections.abc import Iterator

from kdray.errors import LaunchError
from kdray.launch.finding import Check
from kdray.launch.kube.client import Api
from kdray.launch.kube.render import manifests
from kdray.launch.place import Order
from kdray.spec import parse_job
from kdray.spec.target import Kubernetes, Target

_JOB = """apiVersion: kdray/v1
kind: Experiment
name: doctor
data: {source: phantom}
teachers: [timm/resnet18]
students: [timm/mobilenetv3_small_050]
methods: []
storage: {uri: s3://doctor/runs}
promote: {registry: s3://doctor/registry}
"""


def trial_checks(api: Api, place: Kubernetes) -> Iterator[Check]:
    """Yield whether admission lets a small job of this target through; nothing is made."""
    order = Order("doctor", "Experiment", "doctor", _JOB, "doctor.yaml", "s3://doctor/runs")
    job = parse_job(_JOB, "doctor.yaml", env={})
    target = Target(apiVersion="kdray/v1", kind="Target", name="doctor", place=place)
    try:
        for manifest in manifests(order, job, target):
            api.apply(manifest, dry_run=True)
    except LaunchError as error:
        yield Check("dry run", "fail", error.problem, error.remedy)
        return
    yield Check("dry run", "ok", "the cluster takes a job of this target")
