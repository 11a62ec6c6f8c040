"""``kind: Experiment``: what to train, distil, search, measure, explain and keep."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from kdray.spec.space import Space
from kdray.spec.strict import Many, Part, PartRef, Strict, _named

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
Score = Literal["macro_f1", "accuracy", "auc", "loss"]


class Splits(Strict):
    """How images without a given split are divided; whole groups stay together."""

    val: float = Field(0.15, gt=0, lt=1)
    """Share for validation: choosing epochs and settings."""
    test: float = Field(0.15, ge=0, lt=1)
    """Share for the test, used once at the end; ignored where the source gives a test split."""
    seed: int = Field(0, ge=0)
    """Seed of the division."""

    @model_validator(mode="after")
    def _leave_some(self) -> Splits:
        if self.val + self.test >= 1:
            raise ValueError(
                f"val + test is {self.val + self.test:g}: nothing is left to train on"
            )
        return self


class Augment(Strict):
    """Random changes of a training image; each view is named by (seed, epoch, index)."""

    hflip: bool = True
    """Mirror left and right, half of the time."""
    vflip: bool = False
    """Mirror top and bottom, half of the time."""
    rotate: float = Field(10.0, ge=0, le=180)
    """Largest rotation, degrees, either way."""
    shift: float = Field(0.05, ge=0, le=0.5)
    """Largest shift, as a share of the image's side."""
    zoom: float = Field(0.1, ge=0, le=0.9)
    """Largest change of scale, as a share."""
    brightness: float = Field(0.1, ge=0, le=1)
    """Largest change of brightness, as a share."""
    contrast: float = Field(0.1, ge=0, le=1)
    """Largest change of contrast, as a share."""


class Duplicates(Strict):
    """Search for equal and nearly equal images on both sides of a split."""

    check: Literal["near", "exact", "none"] = "near"
    """`exact`: equal pixels; `near`: also a correlation above `threshold`; `none`: no search."""
    threshold: float = Field(0.98, gt=0, le=1)
    """Correlation of two 64x64 grey images from which they count as near duplicates."""
    on_leak: Literal["mark", "fail"] = "mark"
    """`mark`: report test images with a copy in train and also score the rest; `fail`: stop."""


class BadImages(Strict):
    """What to do with images that cannot be read."""

    skip_up_to: int = Field(0, ge=0)
    """So many unreadable images are left out and listed; one more fails the step."""


class Data(Strict):
    """Which images, at which size, in which splits."""

    source: PartRef
    """Where the images come from: see `kdray data list`."""
    image_size: int = Field(224, ge=8, le=4096)
    """Height and width in pixels that every image is resized to."""
    channels: Literal[1, 3] = 3
    """1 for grey images, 3 for colour."""
    splits: Splits = Splits()
    duplicates: Duplicates = Duplicates()
    bad_images: BadImages = BadImages()
    augment: Augment = Augment()


class Model(Strict):
    """A model of the job: a name of your choice and the part that builds it."""

    id: Name
    """How the job, the tables and the results call it."""
    model: PartRef
    """The part that builds it; `timm/ARCH` stands for any architecture of timm."""
    weights: str = "none"
    """`none` (random, from the seed), `imagenet`, or a path or URI of a safetensors file."""


def _model(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return {"id": value.rpartition("/")[2].replace("_", "-").lower(), "model": _named(value)}


ModelRef = Annotated[Model, BeforeValidator(_model)]


class Pair(Strict):
    """One teacher with one student, by their ids."""

    teacher: Name
    student: Name


class Method(Part):
    """How students learn: a part of `kdray methods`, settings held fixed, and spaces to search."""

    search: dict[str, Space] = Field(default_factory=dict)
    """Spaces for the method's settings; a setting neither fixed nor named here is searched over
    the method's own range."""


MethodRef = Annotated[Method, BeforeValidator(_named)]


class Train(Strict):
    """How one kind of model is trained."""

    epochs: int = Field(10, ge=1)
    """Passes over the training split."""
    batch_size: int = Field(32, ge=1)
    """Images in one step, over all workers together."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate; where the search names a space for it, that space is used instead."""
    weight_decay: float = Field(1e-4, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    """How the rate falls after the warm-up."""
    warmup_epochs: float = Field(0.0, ge=0)
    """The rate rises linearly for so many epochs."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many epochs without a better validation score; null: never."""
    class_weights: bool = False
    """Weigh each class's cross-entropy by the inverse of its frequency (pretraining)."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the forward pass; the 16-bit ones use autocast (float16 needs a GPU)."""


class Training(Strict):
    """Training settings of teachers and of students."""

    teacher: Train = Train()
    student: Train = Train()
    select: Score = "macro_f1"
    """The validation score that chooses epochs, settings and the student to promote."""
    seed: int = Field(0, ge=0)
    """Seed of the teachers; student run k uses seed + k."""


class Search(Strict):
    """The search for each pair and method over its hyperparameters and the learning rate."""

    trials: int = Field(8, ge=0)
    """Trials of each pair and method; 0: no search, the methods' defaults are used."""
    sampler: Literal["tpe", "random"] = "tpe"
    scheduler: Literal["asha", "none"] = "asha"
    """`asha` stops weak trials early (asynchronous successive halving)."""
    grace_epochs: int = Field(1, ge=1)
    """No trial is stopped before so many epochs."""
    reduction_factor: int = Field(3, ge=2)
    """ASHA lets one in so many trials pass each rung."""
    epochs: int | None = Field(None, ge=1)
    """Epochs of a trial; null: those of `train.student`."""
    learning_rate: Space | None = None
    """Space of the learning rate; null: fixed at `train.student.learning_rate`."""
    seed: int = Field(0, ge=0)
    concurrent: int = Field(1, ge=1)
    """Trials at once. With 1, an interrupted search ends exactly as an undisturbed one."""


class Evaluate(Strict):
    """The one use of the test split."""

    seeds: int = Field(3, ge=1)
    """Students trained with the best settings of each pair and method, with different seeds."""
    confidence: float = Field(0.95, gt=0, lt=1)
    """Level of the intervals over seeds."""
    latency_repeats: int = Field(30, ge=1)
    """Timed forward passes of one image; the median is reported."""


class Explain(Strict):
    """Explanations of teacher and student, side by side in one figure."""

    methods: Many[PartRef] = tuple(
        Part(name=name) for name in ("gradcam", "scorecam", "featuremaps")
    )
    """Parts of `kdray explainers`."""
    images: int = Field(4, ge=1, le=64)
    """Test images in the figure, drawn evenly from the classes."""


class Promote(Strict):
    """Which student becomes a registry version."""

    name: Name | None = None
    """Name in the registry; null: the job's name."""
    registry: str = "registry"
    """URI of the registry: a folder or s3://bucket/prefix."""
    alias: Name = "champion"
    """The alias that moves to the new version."""


class Resources(Strict):
    """What a run may use of the cluster."""

    workers: int = Field(1, ge=1)
    """Ray Train workers that share one training run (data parallel)."""
    cpus_per_worker: float | None = Field(None, gt=0)
    """CPUs of a worker or trial; null: the CPUs of a node divided by what runs at once."""
    gpus_per_worker: float = Field(0, ge=0)
    """GPUs of a worker or trial; a share such as 0.5 lets trials share one GPU."""
    max_failures: int = Field(3, ge=0)
    """Worker deaths that a training run survives, from its last checkpoint."""


class Storage(Strict):
    """Where results lie."""

    uri: str = "runs"
    """A folder or s3://bucket/prefix. Jobs with the same storage share finished steps."""


class Experiment(Strict):
    """A job: distil students from teachers, measure, explain and keep the best."""

    model_config = ConfigDict(title="kdray Experiment")

    apiVersion: Literal["kdray/v1"]
    kind: Literal["Experiment"]
    name: Name
    """Name of the job: lower-case letters, digits, `-` and `.`."""
    description: str = ""
    data: Data
    teachers: Many[ModelRef] = Field(min_length=1)
    students: Many[ModelRef] = Field(min_length=1)
    pairs: Annotated[
        Many[Pair],
        BeforeValidator(lambda value: () if value == "all" else value),
        WithJsonSchema(
            {
                "anyOf": [
                    {"const": "all"},
                    {"type": "array", "items": {"$ref": "#/$defs/Pair"}},
                ],
                "default": "all",
            }
        ),
    ] = ()
    """`all`, or a list of teacher and student ids."""
    methods: Many[MethodRef] = (Method(name="none"), Method(name="kd"))
    """How students learn; `none` (no teacher) is the baseline of the comparisons."""
    train: Training = Training()
    search: Search = Search()
    evaluate: Evaluate = Evaluate()
    explain: Explain = Explain()
    promote: Promote = Promote()
    resources: Resources = Resources()
    storage: Storage = Storage()

    @model_validator(mode="after")
    def _names_fit(self) -> Experiment:
        ids = [model.id for model in (*self.teachers, *self.students)]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"the id {twice[0]!r} stands for two models: give each its own `id`")
        names = [method.name for method in self.methods]
        if len(set(names)) < len(names):
            raise ValueError("a method is listed twice: list each once, with its spaces")
        return self

    def all_pairs(self) -> tuple[Pair, ...]:
        """Return the pairs of the job: those listed, or every teacher with every student."""
        if self.pairs:
            return self.pairs
        return tuple(
            Pair(teacher=teacher.id, student=student.id)
            for student in self.students
            for teacher in self.teachers
        )


#: Where a job names parts: path in the file -> folder of the part ("*": every item).
PART_PLACES: dict[tuple[str, ...], str] = {
    ("data", "source"): "data",
    ("teachers", "*", "model"): "models",
    ("students", "*", "model"): "models",
    ("methods", "*"): "distill",
    ("explain", "methods", "*"): "explain",
}
