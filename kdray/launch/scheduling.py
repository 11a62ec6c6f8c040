"""Ray's own reader of RayCluster resources and its autoscaler's scheduler, without a cluster.

Both are private to Ray: all that kdray knows of them is in this file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kdray.errors import LaunchError

#: The Ray whose autoscaler this file knows.
KNOWN = "2.60"
#: What Ray calls the head's group.
HEAD = "headgroup"


@dataclass(frozen=True)
class Group:
    """Nodes of one kind.

    Args:
        name: What the place calls it.
        resources: What Ray sees of each node, such as ``{"CPU": 8.0, "GPU": 1.0}``.
        first: Nodes that are up when a job begins.
        most: Most nodes.
    """

    name: str
    resources: Mapping[str, float]
    first: int
    most: int

    @property
    def size(self) -> tuple[float, float]:
        """CPUs and GPUs of a node."""
        return self.resources.get("CPU", 0.0), self.resources.get("GPU", 0.0)


@dataclass(frozen=True)
class Found:
    """What Ray's scheduler finds for what is asked.

    Args:
        launched: Group -> nodes that it brings up.
        left: How many of the processes find no room, even then.
    """

    launched: Mapping[str, int] = field(default_factory=dict)
    left: int = 0


def read_groups(cluster: Mapping[str, Any], name: str = "cluster") -> tuple[Group, ...]:
    """Return the groups of nodes of a cluster as Ray's autoscaler sees them, the head's first.

    Args:
        cluster: The ``spec`` of a RayCluster.
        name: Its name, for messages.

    Raises:
        LaunchError: Ray cannot read it, or this Ray has another reader.
    """
    spec = {"workerGroupSpecs": [], **cluster}
    with _known():
        from ray.autoscaler._private.kuberay import autoscaling_config as reader
        from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

        derive = reader._derive_autoscaling_config_from_ray_cr
    try:
        derived = derive({"metadata": {"name": name, "namespace": "default"}, "spec": spec})
        with _known():
            types = AutoscalingConfig(derived, skip_content_hash=True).get_node_type_configs()
            resources = {key: dict(found.resources) for key, found in types.items()}
    except (ValueError, KeyError, AssertionError) as error:
        said = str(error).splitlines()[0] if str(error) else repr(error)
        raise LaunchError(name, f"Ray cannot read the cluster: {said}.") from error
    grows = bool(spec.get("enableInTreeAutoscaling"))
    head = Group(HEAD, resources[HEAD], 1, 1)
    return head, *(_group(one, resources, grows) for one in spec["workerGroupSpecs"])


def schedule(
    groups: Sequence[Group], asked: Mapping[str, float], count: int, together: bool = False
) -> Found:
    """Return which nodes Ray's autoscaler brings up for processes that all ask for the same.

    Args:
        groups: The cluster.
        asked: Resources of each process.
        count: How many ask at the same time.
        together: Whether all of them start or none.

    Raises:
        LaunchError: This Ray has another scheduler.
    """
    with _known():
        from ray.autoscaler.v2 import scheduler as ray_scheduler
        from ray.autoscaler.v2.utils import ResourceRequestUtil as Requests
        from ray.core.generated.autoscaler_pb2 import GangResourceRequest

        wanted = [Requests.make(dict(asked)) for _ in range(count)]
        gangs = [GangResourceRequest(requests=wanted)] if together else []
        reply = ray_scheduler.ResourceDemandScheduler().schedule(
            ray_scheduler.SchedulingRequest(
                disable_launch_config_check=True,
                node_type_configs=_types(groups),
                max_num_nodes=sum(group.most for group in groups),
                resource_requests=[] if together else Requests.group_by_count(wanted),
                gang_resource_requests=gangs,
                current_instances=list(_up(groups)),
            )
        )
        launched: Counter[str] = Counter()
        for launch in reply.to_launch:
            launched[launch.instance_type] += launch.count
        left = len(reply.infeasible_resource_requests)
        return Found(launched, count if reply.infeasible_gang_resource_requests else left)


def this_machine() -> Group:
    """Return this machine as the only node of the Ray that a job starts here."""
    with _known():
        from ray._private.accelerators import NvidiaGPUAcceleratorManager
        from ray._private.utils import get_num_cpus

        gpus = NvidiaGPUAcceleratorManager.get_current_node_num_accelerators()
        found = {"CPU": float(get_num_cpus()), "GPU": float(gpus)}
    return Group("this machine", found, 1, 1)


def _group(spec: Mapping[str, Any], resources: Mapping[str, Any], grows: bool) -> Group:
    name, hosts = spec["groupName"], spec.get("numOfHosts", 1)
    first = spec.get("replicas", spec["minReplicas"]) * hosts
    most = spec["maxReplicas"] * hosts if grows else first
    return Group(name, resources[name], first, max(first, most))


def _types(groups: Sequence[Group]) -> dict[str, Any]:
    from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig

    return {
        group.name: NodeTypeConfig(
            name=group.name,
            min_worker_nodes=0,
            max_worker_nodes=group.most,
            resources=dict(group.resources),
        )
        for group in groups
    }


def _up(groups: Sequence[Group]) -> Iterator[Any]:
    """Yield the nodes that are up, as instances that are about to run Ray, all of it free."""
    from ray.autoscaler.v2.schema import AutoscalerInstance
    from ray.core.generated.instance_manager_pb2 import Instance, NodeKind

    for group in groups:
        for number in range(group.first):
            yield AutoscalerInstance(
                im_instance=Instance(
                    instance_id=f"{group.name}-{number}",
                    instance_type=group.name,
                    status=Instance.ALLOCATED,
                    node_kind=NodeKind.HEAD if group.name == HEAD else NodeKind.WORKER,
                )
            )


@contextmanager
def _known() -> Iterator[None]:
    """Say that this Ray is another one where its private parts are."""
    try:
        yield
    except (ImportError, AttributeError, TypeError) as error:
        import ray

        raise LaunchError(
            "Ray",
            f"{ray.__version__} has another autoscaler than the one kdray knows: {error}.",
            f"What a job would bring up is worked out with Ray {KNOWN}: install that here.",
        ) from error
