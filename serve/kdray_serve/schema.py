"""What the service's answers look like; the OpenAPI document is made from here."""

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


class PredictionSet(Answer):
    """Classes among which the true one is, with a chosen probability (split conformal)."""

    coverage: float
    """Share of images like those of the validation split whose set holds the true class."""
    classes: list[str]
    """Most probable first; a long set says that the model is unsure."""


class Unlikeness(Answer):
    """How unlike the training images an image is."""

    score: float
    """Share of the validation images that are nearer to the training images, 0 to 1."""
    flag: bool
    """Whether the score is above the service's limit: mistrust the prediction."""
    flag_above: float
    """The service's limit."""


class ImageFacts(Answer):
    """Which image an answer is about."""

    name: str
    """Name of the file as the client gave it; may be empty."""
    width: int
    """Width of the image file, pixels."""
    height: int
    """Height of the image file, pixels."""
    sha256: str
    """Hash of the image file."""


class Prediction(Answer):
    """What a model says of one image."""

    prediction: str
    """The class of the highest probability."""
    probabilities: dict[str, float]
    """Probability of each class, in the model's order; they sum to 1."""
    calibrated: bool
    """Whether the probabilities are calibrated (by a temperature on the validation split)."""
    prediction_set: PredictionSet | None
    """Null where the package cannot tell."""
    ood: Unlikeness | None
    """Null where the package cannot tell."""
    image: ImageFacts


class Answered(Answer):
    """What all answers of models say."""

    request_id: str
    """Names this request, in logs and for feedback; also the header `X-Request-ID`."""
    model: Version
    milliseconds: float
    """Time in the service, from the whole body to the answer."""
    notice: str = NOTICE


class Predictions(Answered):
    """What a model says of the images of a request, in their order."""

    predictions: list[Prediction]


class HeatMap(Answer):
    """Where the model looked: a picture to lay over the image."""

    width: int
    """Width in pixels: that of the model's input, to be stretched over the image."""
    height: int
    """Height in pixels."""
    png: str
    """PNG in base64: colours, dark to bright, transparent where the model did not look."""


class Values(Answer):
    """The numbers of a map."""

    shape: list[int]
    """Height and width."""
    float32: str
    """The values in [0, 1] in base64: 4 bytes each, little-endian, row by row."""


class Map(Answer):
    """Where the model looked for one class."""

    class_: str = Field(alias="class")
    """The class that the map is for."""
    heat_map: HeatMap | None
    """Null where the map shows nothing."""
    reason: str
    """Why the map shows nothing; empty where it shows something."""
    estimate: float | None
    """Estimated correlation with the exact map; null where the map is exact."""
    values: Values | None
    """The numbers, where the request has `raw=true`."""


class Agreement(Answer):
    """How alike two maps are."""

    pearson: float | None
    """Correlation of their values."""
    ssim: float | None
    """Structural similarity."""
    iou20: float | None
    """Overlap of their highest 20 %: intersection over union."""


class Against(Answer):
    """Another model's view of the same image, by the same method, of the same classes."""

    model: Version
    role: str
    """`teacher` or `student`."""
    prediction: Prediction
    maps: list[Map]
    agreement: list[Agreement | None]
    """For each map; null where one of the two shows nothing."""
    chance: dict[str, float]
    """The same scores of maps of different images: agreement below them means nothing. Empty
    where the package has not measured it."""


class Explanation(Answered):
    """What a model says of an image, and where it looked."""

    prediction: Prediction
    method: str
    """The method that made the maps."""
    requested_method: str
    """The method that was asked for."""
    replaced: str
    """Why another method made the maps; empty where none did."""
    maps: list[Map]
    """One for each class that was asked for."""
    against: Against | None
    """The model compared with; null without `against`."""
    forwards: int
    """Images that went through the network for the maps."""


class Method(Answer):
    """An explanation method on offer."""

    name: str
    title: str
    """What it does, in one line."""
    needs_class: bool
    """Whether its map depends on the class."""


class Input(Answer):
    """What the model sees of an image."""

    width: int
    """Images are resized to this width, in pixels."""
    height: int
    """Images are resized to this height, in pixels."""
    channels: Literal[1, 3]
    """1: grey, 3: colour."""


class Share(Answer):
    """A version that answers a share of the requests."""

    version: int
    """Number of the version."""
    percent: float
    """Share of the images, by their content."""


class Summary(Answer):
    """A model that is served."""

    name: str
    """Name in the registry."""
    version: int
    """Number of the version that answers now."""
    aliases: list[str]
    """Aliases that point at this version."""
    classes: list[str]
    """The classes, in the order of the probabilities."""
    input: Input
    explanations: list[Method]
    """Methods for `explain`; the first is the default."""
    teacher: str | None = None
    """The registered teacher, `name@version`, for `against=teacher`; null where there is none."""
    calibrated: bool = False
    """Whether its probabilities are calibrated."""
    samples: int = 0
    """Number of sample images of the package."""
    canary: Share | None = None
    """The version that answers a share of the requests; null where there is none."""


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
    explanation_scores: dict[str, Any] | None = None
    """How good its explanations were on test images: scores, agreement with the teacher beside
    chance, sanity verdicts; null where the job did not measure them."""
    versions: list[int] = []
    """The versions of this name in the registry."""


class Models(Answer):
    """All models that are served."""

    models: list[Summary]
    notice: str = NOTICE


class Health(Answer):
    """State of the service."""

    status: Literal["ok", "ready"]


class Who(Answer):
    """Whom the service takes the caller for."""

    name: str
    """Name of the API key; `anybody` where the service asks for none."""
    roles: list[Literal["predict", "explain", "admin"]]
    """What the caller may do."""


class Problem(Answer):
    """Why a request was refused (RFC 9457, application/problem+json)."""

    type: str = "about:blank"
    title: str
    """The kind of problem."""
    status: int
    """The HTTP status."""
    detail: str
    """What was wrong with this request, and what would be right."""
    request_id: str
    """Names this request; also the header `X-Request-ID`."""
