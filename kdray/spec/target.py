"""``kind: Target``: where jobs run, and what a cluster has to know for that."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from kdray.spec.quantity import amount
from kdray.spec.strict import Many, Strict
from kdray.spec.variables import Text, Variable, check_no_secrets, check_not_ours

#: Home folder of the user that pods run as; see infra/Dockerfile.
HOME = "/home/kdray"
#: Where pods find the job file.
JOB_FOLDER = "/etc/kdray"
#: Where pods find a service's keys.
KEYS_FOLDER = f"{JOB_FOLDER}/keys"
#: Where the processes of a service's pod count together.
COUNTS_FOLDER = "/run/kdray"
#: Folders of pods that no volume may be mounted on or above; the image's own among them.
_TAKEN = ("/tmp", "/dev/shm", HOME, KEYS_FOLDER, COUNTS_FOLDER, "/opt/kdray", "/usr", "/proc")
#: Name of the head's group, for KubeRay and Ray's autoscaler.
_HEAD = "headgroup"
#: Least memory of a pod, MiB: Ray itself takes most of it.
_LEAST_MIB = 512
#: Least shared memory, MiB: Ray refuses an object store below 75 MiB.
_LEAST_SHM_MIB = 96

#: Name of a target or of a group of pods: begins with a letter.
Label = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
#: Name of a namespace or a queue: as a label's value, too.
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
#: Name of a Secret, claim, account or class, which may have dots, as in example.org-tls.
Object = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
        max_length=253,
    ),
]
#: A Kubernetes quantity, such as 4Gi or 500m.
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
#: A range of addresses, such as 10.0.0.0/8.
Network = Annotated[str, AfterValidator(lambda value: str(ip_network(value)))]
#: A key of a label, of a taint, or a resource: a name, perhaps after a domain.
Key = Annotated[
    str,
    Field(pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"),
]
#: Value of a label or a taint.
Value = Annotated[Text, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$")]


class Local(Strict):
    """This machine, with a Ray of its own."""

    kind: Literal["local"]
    """What the place is."""


class RayCluster(Strict):
    """A Ray cluster that runs already, by its Jobs API."""

    kind: Literal["ray"]
    """What the place is."""
    address: str | None = None
    """Of the Jobs API, such as http://head:8265; null: `RAY_API_SERVER_ADDRESS`, `RAY_ADDRESS`, or
    http://127.0.0.1:8265."""
    ship: bool = True
    """Send kdray along with the job, so that the nodes need its libraries only; false: they have
    this version of kdray installed."""
    token_file: str | None = None
    """File with the cluster's token, where it asks for one; null: `RAY_AUTH_TOKEN`, or Ray's own
    file."""
    python: str = Field("python", min_length=1)
    """Python on the head node, as a command: the one that Ray runs in."""
    environment: dict[Variable, Text] = Field(default_factory=dict)
    """Environment variables of the job's processes; no secrets."""

    @field_validator("environment")
    @classmethod
    def _no_secrets(cls, environment: dict[str, str]) -> dict[str, str]:
        check_no_secrets(environment, "Ray's dashboard shows it, so set it on the cluster's nodes")
        return environment


class SecretKey(Strict):
    """A key of a Kubernetes Secret, by reference."""

    secret: Object
    """Name of the Secret."""
    key: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    """Key in it."""


class Toleration(Strict):
    """A taint of nodes that pods may ignore."""

    key: Key | None = None
    """Key of the taint; null: any."""
    value: Value | None = None
    """Value of the taint; null: any."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; null: any."""

    @model_validator(mode="after")
    def _value_of_a_key(self) -> Toleration:
        if self.key is None and self.value is not None:
            raise ValueError("a value needs its key")
        return self


class Pods(Strict):
    """What pods ask for, and where they may run."""

    cpus: int = Field(2, ge=1)
    """CPUs of a pod; Ray sees the same."""
    memory: Quantity = "4Gi"
    """Memory of a pod, requested and at most."""
    gpus: int = Field(0, ge=0)
    """GPUs of a pod; Ray sees the same."""
    gpu_resource: Key = "nvidia.com/gpu"
    """Resource by which the cluster counts GPUs."""
    shm: Quantity | None = None
    """Shared memory, for Ray's object store; null: 30 % of the memory."""
    scratch: Quantity = "20Gi"
    """Most space on the node's disk for Ray's files and caches."""
    node_selector: dict[Key, Value] = Field(default_factory=dict)
    """Labels that nodes must have."""
    tolerations: Many[Toleration] = ()
    """Taints that do not keep pods away."""
    spot: bool = False
    """Run on nodes that may be taken away: `spot_selector` and `spot_tolerations` of the target
    apply."""

    @model_validator(mode="after")
    def _memory_holds_shm(self) -> Pods:
        if amount(self.memory) < _LEAST_MIB * 2**20:
            raise ValueError(f"memory {self.memory} is too little: Ray needs {_LEAST_MIB}Mi")
        if self.shm is not None and not _LEAST_SHM_MIB * 2**20 <= amount(self.shm) < amount(
            self.memory
        ):
            raise ValueError(
                f"shm {self.shm} has to be {_LEAST_SHM_MIB}Mi at least, and less than memory "
                f"{self.memory}, of which it is a part"
            )
        return self


class Group(Pods):
    """Worker pods of one kind."""

    name: Label
    """Name of the group."""
    min: int = Field(0, ge=0)
    """Pods that are there from the start."""
    max: int = Field(1, ge=1)
    """Most pods."""

    @field_validator("name")
    @classmethod
    def _not_the_heads(cls, name: str) -> str:
        if name == _HEAD:
            raise ValueError(f"{_HEAD} is what Ray calls the head's: give the group another name")
        return name

    @model_validator(mode="after")
    def _ordered(self) -> Group:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class FaultTolerance(Strict):
    """A Redis that lets a cluster outlive its head."""

    redis: str = Field(min_length=1)
    """Address, host:port."""
    password: SecretKey | None = None
    """Its password, by reference."""


class Volume(Strict):
    """A volume that every pod mounts, such as a shared folder of images."""

    claim: Object
    """Name of the PersistentVolumeClaim."""
    path: str = Field(pattern=r"^/[^:]*$")
    """Where pods see it."""
    read_only: bool = True
    """Whether pods may only read it."""


class Route(Strict):
    """How a service is reached from outside the cluster."""

    kind: Literal["ingress", "gateway"] = "ingress"
    """An Ingress, or an HTTPRoute of a Gateway."""
    host: str = Field(pattern=r"^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    """Host name."""
    class_name: str | None = None
    """Ingress class, where it is not the cluster's default; or name of the Gateway."""
    gateway_namespace: Namespace | None = None
    """Namespace of the Gateway; null: the target's own."""
    tls_secret: Object | None = None
    """Secret with the certificate of an Ingress; null: no TLS there. A Gateway has its own."""

    @model_validator(mode="after")
    def _of_one_kind(self) -> Route:
        if self.kind == "gateway" and self.class_name is None:
            raise ValueError("kind: gateway needs class_name, the name of the Gateway")
        if self.kind == "gateway" and self.tls_secret is not None:
            raise ValueError("kind: gateway has no tls_secret: the Gateway has the certificate")
        if self.kind == "ingress" and self.gateway_namespace is not None:
            raise ValueError("kind: ingress has no gateway_namespace")
        return self


class Serving(Strict):
    """How a service is rolled out."""

    upgrade: Literal["new_cluster", "incremental", "none"] = "new_cluster"
    """A changed service: a new cluster beside the old that takes over when it is ready; the same
    with the load moved step by step, which needs `gateway_class` and `autoscale`; or on the
    cluster that runs, as far as Serve can change it, without room for two."""
    gateway_class: str | None = None
    """GatewayClass for `incremental`."""
    step_percent: int = Field(10, ge=1, le=100)
    """Share of the load that `incremental` moves at once."""
    interval_seconds: int = Field(30, ge=1)
    """Pause between two such steps."""
    route: Route | None = None
    """The way from outside; null: none."""
    keys: SecretKey | None = None
    """The API keys (`kdray keys`), by reference: the file, or the variable, of the spec's
    `auth`."""
    allow_from: Many[Namespace] = ()
    """Namespaces whose pods may reach the service and its metrics; empty: the target's own. That
    of a Gateway may reach the service anyway; an Ingress controller's has to be named."""
    allow_networks: Many[Network] = ()
    """Address ranges that may reach the service, such as those of a cloud's load balancer."""
    min_available: int = Field(1, ge=0)
    """Worker pods that a drained node must leave; 0: no such rule. With only one pod its node
    cannot be drained."""

    @model_validator(mode="after")
    def _gateway(self) -> Serving:
        if self.upgrade == "incremental" and self.gateway_class is None:
            raise ValueError("upgrade: incremental needs gateway_class")
        if self.upgrade == "incremental" and self.route is not None:
            raise ValueError("upgrade: incremental has a Gateway of its own: leave out route")
        return self

    @model_validator(mode="after")
    def _reachable(self) -> Serving:
        is_ingress = self.route is not None and self.route.kind == "ingress"
        if is_ingress and not (self.allow_from or self.allow_networks):
            raise ValueError(
                "route: an Ingress needs allow_from with the namespace of its controller, such as "
                "ingress-nginx, or allow_networks"
            )
        return self


class Kubernetes(Strict):
    """A namespace of a Kubernetes cluster with KubeRay's operator."""

    kind: Literal["kubernetes"]
    """What the place is."""
    context: str | None = None
    """Context of the kubeconfig; null: the current one."""
    namespace: Namespace | None = None
    """Namespace; null: that of the context."""
    image: str = Field("kdray:latest", pattern=r"^\S+$")
    """Image with kdray; see infra/Dockerfile."""
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When nodes fetch the image."""
    pull_secrets: Many[Object] = ()
    """Secrets for the image's registry."""
    service_account: Object | None = None
    """Service account of the pods; null: `default`, without a token."""
    head: Pods = Pods()
    """The pod that drives the job; Ray gives it no other work, so it counts no CPUs there."""
    groups: Many[Group] = ()
    """Worker pods; none: they are made from the job's `resources`, for CPUs and GPUs, or a
    service's `autoscaling`."""
    autoscale: bool = False
    """Let Ray add and remove workers between `min` and `max`; false: `max` pods from the start."""
    idle_seconds: int = Field(120, ge=1)
    """How long a worker is idle before it is removed."""
    retries: int = Field(2, ge=0)
    """How often a failed job is tried again, each time on a new cluster; it goes on from the
    storage."""
    deadline_seconds: int | None = Field(None, ge=1)
    """How long a try of a job may take; then the job has failed for good. Null: for ever."""
    keep_seconds: int = Field(60, ge=0)
    """How long the pods of a finished job stay; its record and what it printed stay on."""
    queue: Namespace | None = None
    """Kueue's LocalQueue; null: not queued."""
    priority_class: Object | None = None
    """PriorityClass of the pods."""
    spot_selector: dict[Key, Value] = Field(default_factory=dict)
    """Labels of nodes for pods with `spot: true`."""
    spot_tolerations: Many[Toleration] = ()
    """Taints of such nodes."""
    secret_environment: dict[Variable, SecretKey] = Field(default_factory=dict)
    """Environment variables from Secrets, such as AWS_SECRET_ACCESS_KEY."""
    environment: dict[Variable, Text] = Field(default_factory=dict)
    """Environment variables; no secrets, and none that kdray sets itself, such as HOME."""
    auth: Literal["token", "none"] = "token"
    """Ray's own authentication: `token` lets KubeRay make a Secret that only this cluster uses."""
    fault_tolerance: FaultTolerance | None = None
    """A Redis that lets a service outlive its head; jobs need none, they resume from storage."""
    volumes: Many[Volume] = ()
    """Volumes of every pod."""
    serving: Serving = Serving()
    """How services are rolled out."""

    @field_validator("environment")
    @classmethod
    def _no_secrets(cls, environment: dict[str, str]) -> dict[str, str]:
        named = "put it into a Secret of the namespace and name that in secret_environment"
        check_no_secrets(environment, named)
        return environment

    @field_validator("volumes")
    @classmethod
    def _volumes_apart(cls, volumes: tuple[Volume, ...]) -> tuple[Volume, ...]:
        paths = [PurePosixPath(volume.path) for volume in volumes]
        for path in paths:
            covers = any(PurePosixPath(folder).is_relative_to(path) for folder in _TAKEN)
            if covers or ".." in path.parts or paths.count(path) > 1:
                raise ValueError(f"the path {path} is taken: mount the volume elsewhere")
        return volumes

    @field_validator("environment", "secret_environment")
    @classmethod
    def _not_ours(cls, variables: dict[str, Any]) -> dict[str, Any]:
        check_not_ours(variables)
        return variables

    @model_validator(mode="after")
    def _variables_apart(self) -> Kubernetes:
        twice = sorted(set(self.environment) & set(self.secret_environment))
        if twice:
            raise ValueError(f"{twice[0]} is both in environment and in secret_environment")
        return self

    @model_validator(mode="after")
    def _growing(self) -> Kubernetes:
        if self.serving.upgrade == "incremental" and not self.autoscale:
            raise ValueError("serving.upgrade: incremental needs autoscale: true")
        return self

    @model_validator(mode="after")
    def _groups_apart(self) -> Kubernetes:
        names = [group.name for group in self.groups]
        if len(set(names)) < len(names):
            raise ValueError("two groups have the same name")
        if any(pods.spot for pods in (self.head, *self.groups)) and not (
            self.spot_selector or self.spot_tolerations
        ):
            raise ValueError("spot: true needs spot_selector or spot_tolerations")
        return self


class Target(Strict):
    """Where jobs run: a machine, a Ray cluster, or a namespace of Kubernetes."""

    model_config = ConfigDict(title="kdray Target")

    apiVersion: Literal["kdray/v1"]
    """Version of the format."""
    kind: Literal["Target"]
    """What the file is."""
    name: Label
    """Name of the target, as `kdray` tells it."""
    place: Annotated[Local | RayCluster | Kubernetes, Field(discriminator="kind")]
    """The place itself."""
    storage: str | None = None
    """URI of the results, for jobs whose own `storage.uri` is a relative folder, which only this
    machine knows."""
    registry: str | None = None
    """URI of the registry, for jobs whose own is a relative folder; null: `registry` in
    `storage`."""
