"""What the service's answers look like; FastAPI documents them from here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kdray.registry.card import NOTICE


class Answer(BaseModel):
    """The base of the answers: attribute docstrings are their descriptions."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, populate_by_name=True)


class Version(Answer):
    """Which version of which model answered."""

    name: str
    """Name in the registry."""
    version: int
    """Number of the version; its files never change."""
    weights_sha256: str
    """Checksum of the weights."""


class Prediction(Answer):
    """What the model says of an image."""

    model: Version
    prediction: str
    """The class of the highest probability."""
    probabilities: dict[str, float]
    """Probability of each class (softmax), in the model's order; they sum to 1."""
    milliseconds: float
    """Time that the model process spent on the request."""
    notice: str = NOTICE


class HeatMap(Answer):
    """Where the model looked: a picture to lay over the image."""

    width: int
    """Width in pixels: that of the model's input, to be stretched over the image."""
    height: int
    """Height in pixels."""
    png: str
    """PNG in base64: RGBA, dark to bright, transparent where the model did not look."""


class Explanation(Prediction):
    """What the model says of an image, and where it looked for one class."""

    method: str
    """The explanation method."""
    class_: str = Field(alias="class")
    """The class that the heat map is for."""
    estimate: float | None
    """Estimated correlation with the exact map; null where the map is exact."""
    heat_map: HeatMap


class Method(Answer):
    """An explanation method on offer."""

    name: str
    title: str
    """What it does, in one line."""


class Input(Answer):
    """What the model sees of an image."""

    width: int
    """Images are resized to this width, in pixels."""
    height: int
    """Images are resized to this height, in pixels."""
    channels: Literal[1, 3]
    """1: grey, 3: colour."""


class Summary(Answer):
    """A model that is served."""

    name: str
    """Name in the registry."""
    version: int
    """Number of the version that answers until the service is started again."""
    aliases: list[str]
    """Aliases that pointed at this version when the service started."""
    classes: list[str]
    """The classes, in the order of the probabilities."""
    input: Input
    explanations: list[Method]
    """Methods for `explain`; the first is the default."""


class Details(Summary):
    """A model that is served, with everything known of it."""

    id: str
    """Name of the model in the job that made it."""
    role: str
    """`teacher` or `student`."""
    architecture: dict[str, Any]
    """The part that builds the network, and its settings."""
    weights_sha256: str
    """Checksum of the weights."""
    lineage: dict[str, Any]
    """Where the model comes from: job, data, teacher, seed, code."""
    metrics: dict[str, Any]
    """Its scores and costs, as measured by the job."""
    card: str
    """The model card, Markdown."""


class Models(Answer):
    """All models that are served."""

    models: list[Summary]
    notice: str = NOTICE


class Health(Answer):
    """State of the service."""

    status: Literal["ok", "ready"]


class Problem(Answer):
    """Why a request was refused (RFC 9457, application/problem+json)."""

    type: str = "about:blank"
    title: str
    """The kind of problem."""
    status: int
    """The HTTP status."""
    detail: str
    """What was wrong with this request, and what would be right."""
