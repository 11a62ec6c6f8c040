"""``kind: Service``: which registered models to serve, and within which limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from kdray.spec.experiment import Name
from kdray.spec.strict import Many, Part, PartRef, Strict


class ServedModel(Strict):
    """A model of the registry, by version or alias."""

    name: Name
    """Name in the registry."""
    version: Annotated[
        str,
        BeforeValidator(lambda value: str(value) if type(value) is int else value),
        WithJsonSchema({"type": ["string", "integer"]}),
    ] = "champion"
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


class Limits(Strict):
    """What one request may ask for."""

    max_upload_mb: float = Field(20.0, gt=0)
    """Largest upload, MiB."""
    max_pixels: int = Field(50_000_000, ge=1)
    """Largest image, width times height."""
    max_queued_requests: int = Field(64, ge=1)
    """Requests that may wait; more are answered 503 at once."""


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
    models: Many[Annotated[ServedModel, BeforeValidator(served_in_full)]] = Field(min_length=1)
    """What to serve: `name`, `name@version` or `{name, version}`."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 opens the service to the network."""
    port: int = Field(8000, ge=1, le=65535)
    """TCP port to listen on."""
    autoscaling: Autoscaling = Autoscaling()
    """How many replicas of each deployment run."""
    cpus_per_replica: float = Field(1.0, gt=0)
    """CPUs that each replica takes."""
    explain: Many[PartRef] = tuple(
        Part(name=name) for name in ("gradcam", "scorecam_fast", "featuremaps")
    )
    """Explanations on offer; the first is the default."""
    limits: Limits = Limits()
    """What one request may ask for."""
