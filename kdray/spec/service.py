"""``kind: Service``: which registered models to serve, and within which limits."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from kdray.spec.strict import Many, Name, Part, PartRef, Strict

#: What browsers send as `Origin`: no path, no end slash, no stars.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?")
#: A version number or an alias.
VersionText = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    WithJsonSchema({"type": ["string", "integer"]}),
]


class ServedModel(Strict):
    """A model of the registry, by version or alias."""

    name: Name
    """Name in the registry."""
    version: VersionText = "champion"
    """Version number or alias."""


def served_in_full(value: Any) -> Any:
    """Return a served model in full: ``name`` or ``name@version``."""
    if not isinstance(value, str):
        return value
    name, at, version = value.partition("@")
    return {"name": name, "version": version} if at else {"name": name}


class Autoscaling(Strict):
    """How many replicas of each deployment run."""

    min_replicas: int = Field(1, ge=1)
    """Replicas that run even when nobody asks."""
    max_replicas: int = Field(1, ge=1)
    """Most replicas under load."""
    target_ongoing_requests: int = Field(4, ge=1)
    """Requests at once in one replica from which another is started."""

    @model_validator(mode="after")
    def _ordered(self) -> Autoscaling:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas {self.min_replicas} is above max_replicas {self.max_replicas}"
            )
        return self


class Batching(Strict):
    """How predictions that arrive together share a forward pass."""

    max_size: int = Field(8, ge=1, le=1024)
    """Most images in one forward pass."""
    wait_ms: float = Field(0.0, ge=0, le=1000)
    """How long the first image waits for others. With 0, only what arrives while the model is busy
    is put together."""


class Limits(Strict):
    """What one request may ask for."""

    max_upload_mb: float = Field(20.0, gt=0)
    """Largest body of a request, MiB."""
    max_pixels: int = Field(50_000_000, ge=1)
    """Largest image, width times height."""
    max_images: int = Field(16, ge=1)
    """Most images of one request."""
    max_queued_requests: int = Field(64, ge=1)
    """Requests that may wait; more are answered 503 at once."""
    predict_seconds: float = Field(10.0, gt=0)
    """How long a prediction may take, waiting included; then it is answered 504."""
    explain_seconds: float = Field(60.0, gt=0)
    """How long an explanation may take, waiting included; then it is answered 504."""


class Canary(Strict):
    """A version that answers a share of the requests."""

    model: Name | None = None
    """Name in the registry; null: the first of `models`."""
    version: VersionText
    """Version number or alias that answers the share."""
    percent: float = Field(ge=0, le=100)
    """Share of the requests, by the content of the image: the same image is always answered by the
    same version."""


class Shadow(Strict):
    """A version that is asked too, whose answers are compared and counted, not returned."""

    model: Name | None = None
    """Name in the registry; null: the first of `models`."""
    version: VersionText
    """Version number or alias that is asked too."""
    percent: float = Field(100.0, ge=0, le=100)
    """Share of the requests."""


class OutOfDistribution(Strict):
    """When an image is said to be unlike those that the model knows."""

    flag_above: float = Field(0.99, ge=0, le=1)
    """An image is flagged when this share of the validation images is nearer to the training
    images."""


class Keys(Strict):
    """Where the API keys are, as hashes."""

    file: str | None = None
    """File written by `kdray keys`; looked at again when it changes."""
    environment: str | None = None
    """Name of an environment variable that holds the content of such a file."""

    @model_validator(mode="after")
    def _one(self) -> Keys:
        if (self.file is None) == (self.environment is None):
            raise ValueError("give either `file` or `environment`")
        return self


class Service(Strict):
    """A job: serve the registry's models with an explanation for each answer."""

    model_config = ConfigDict(title="kdray Service")

    apiVersion: Literal["kdray/v1"]
    """Version of the job format."""
    kind: Literal["Service"]
    """What the job is."""
    name: Name
    """Name of the service: lower-case letters, digits, `-` and `.`."""
    description: str = ""
    """What the service is for, in your words."""
    registry: str = "registry"
    """URI of the registry: a folder or s3://bucket/prefix."""
    storage: str = "runs"
    """URI under which feedback and the audit log are kept, in `services/NAME`."""
    models: Many[Annotated[ServedModel, BeforeValidator(served_in_full)]] = Field(min_length=1)
    """What to serve: `name`, `name@version` or `{name, version}`. An alias is followed when it
    moves; a number stays."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 opens the service to the network."""
    port: int = Field(8000, ge=1, le=65535)
    """TCP port to listen on."""
    auth: Literal["none"] | Keys | None = None
    """Who may ask. null: one key with all roles is made at the start and printed; `none`: anybody
    on this machine, and only with a loopback `host`."""
    cors: Many[str] = ()
    """Origins whose pages may call the API, such as https://pacs.example.org; none by default."""
    runtime: Literal["auto", "onnxruntime", "torch"] = "auto"
    """What computes the models. `auto`: ONNX Runtime on CPUs; with a GPU, whichever is faster for
    the model."""
    batching: Batching = Batching()
    """How predictions that arrive together share a forward pass."""
    memory_mb: float = Field(2048.0, gt=0)
    """Memory for loaded models in each process; those asked for longest ago leave first."""
    refresh_seconds: float = Field(10.0, ge=0)
    """How often the aliases are looked up; 0: never."""
    canary: Canary | None = None
    """A version that answers a share of the requests."""
    shadow: Shadow | None = None
    """A version that is asked too, whose answers are only compared."""
    autoscaling: Autoscaling = Autoscaling()
    """How many replicas of each deployment run."""
    cpus_per_replica: float = Field(1.0, gt=0)
    """CPUs that each replica takes."""
    explain: Many[PartRef] = tuple(
        Part(name=name) for name in ("gradcam", "scorecam_fast", "featuremaps")
    )
    """Explanations on offer; the first is the default."""
    coverage: float = Field(0.9, gt=0, lt=1)
    """Share of images whose true class the prediction set shall hold."""
    ood: OutOfDistribution = OutOfDistribution()
    """When an image is said to be unlike those that the model knows."""
    audit: bool = True
    """Whether each answer is written down: who, which version, when, hash of the image, answer."""
    store_uploads: bool = False
    """Whether uploaded images are kept, by their hash; they are never logged."""
    log: Literal["json", "text"] = "json"
    """How log lines look."""
    limits: Limits = Limits()
    """What one request may ask for."""

    @model_validator(mode="after")
    def _open_only_here(self) -> Service:
        if self.auth == "none" and not is_loopback(self.host):
            raise ValueError(
                f"auth: none needs a loopback host, not {self.host!r}: give the keys "
                "(`auth: {file: keys.yaml}`, see `kdray keys`)"
            )
        return self

    @field_validator("cors")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin: write it like https://pacs.example.org"
                )
        return origins

    @model_validator(mode="after")
    def _shares_of_served_models(self) -> Service:
        names = [model.name for model in self.models]
        for field, share in (("canary", self.canary), ("shadow", self.shadow)):
            if share is not None and share.model is not None and share.model not in names:
                raise ValueError(f"{field}.model: {share.model!r} is none of the served models")
        return self


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
