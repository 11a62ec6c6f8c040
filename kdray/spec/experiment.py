"""``kind: Experiment``: what to train, distil, search, measure, explain and keep."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ByteSize, ConfigDict, Field, field_validator, model_validator

from kdray.spec.data import Augment, BadImages, Data, Duplicates, Splits
from kdray.spec.promote import Promote
from kdray.spec.space import Space
from kdray.spec.strict import Many, Name, Part, PartRef, Strict, named

__all__ = ["Augment", "BadImages", "Data", "Duplicates", "Splits"]  # read from here as well

Score = Literal["macro_f1", "accuracy", "auc", "loss"]
_EXPLAINERS = ("gradcam", "scorecam_fast", "featuremaps")


class Model(Strict):
    """A model of the job: a name of your choice and the part that builds it."""

    id: Name
    """How the job, the tables and the results call it."""
    model: PartRef
    """A name of `kdray models`; `timm/ARCH` and `torchvision/ARCH` stand for any architecture."""
    weights: str = "none"
    """`none` (random, from the seed), `imagenet`, or a path or URI of a weights file: safetensors,
    or a state dict of `torch.save` (.pth, .pt)."""
    baseline: Name | None = None
    """Of a student: id of the student whose run without a teacher it is compared with; null: its
    own."""


def model_in_full(value: Any) -> Any:
    """Return a model in full: ``timm/resnet18`` is called ``resnet18``."""
    if not isinstance(value, str):
        return value
    return {"id": value.rpartition("/")[2].replace("_", "-").lower(), "model": named(value)}


ModelRef = Annotated[Model, BeforeValidator(model_in_full)]


class Pair(Strict):
    """One teacher with one student, by their ids."""

    teacher: Name
    """`id` of one of the teachers."""
    student: Name
    """`id` of one of the students."""


class Method(Part):
    """How students learn: a part of `kdray methods`, settings held fixed, and spaces to search."""

    search: dict[str, Space] = Field(default_factory=dict)
    """Spaces for the method's settings; a setting neither fixed nor named here is searched over
    the method's own range."""
    students: Many[Name] = ()
    """Ids of the students that learn so; empty: all."""
    teachers: Many[Name] = ()
    """Ids of the teachers to learn from so; empty: all of the pairs."""

    def is_for(self, student: str, teacher: str | None) -> bool:
        """Return whether this student learns so, from this teacher if from any."""
        taught = teacher is None or not self.teachers or teacher in self.teachers
        return taught and (not self.students or student in self.students)


MethodRef = Annotated[Method, BeforeValidator(named)]


class Train(Strict):
    """How one kind of model is trained."""

    epochs: int = Field(10, ge=1)
    """Passes over the training split."""
    batch_size: int = Field(32, ge=1)
    """Images in one step, over all workers together."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    """`sgd` has Nesterov momentum 0.9; `adamw` decouples the weight decay."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate; where the search names a space for it, that space is used instead."""
    weight_decay: float = Field(1e-4, ge=0)
    """Pull of the weights towards 0."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """How the rate falls after the warm-up."""
    min_learning_rate: float = Field(0.0, ge=0)
    """Where the cosine ends."""
    warmup_epochs: float = Field(0.0, ge=0)
    """The rate rises linearly for so many epochs."""
    warmup_learning_rate: float | None = Field(None, ge=0)
    """The rate of the first step of the warm-up; null: the first of its even steps up."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many epochs without a better validation score; null: never."""
    loss: Literal["cross_entropy", "bce"] = "cross_entropy"
    """Loss of the labels (pretraining); `bce` takes each class against the rest, by sigmoids."""
    per_class: int | None = Field(None, ge=1)
    """Images a class to learn from, fewer where a class is smaller; null: all."""
    subset_seed: int = Field(0, ge=0)
    """Seed of the images drawn for `per_class`, and of what SMOTE makes."""
    balance: Literal["none", "class_weights", "sampling", "smote"] = "none"
    """`class_weights`: each class's loss weighs the inverse of its frequency (teachers only);
    `sampling`: images are drawn so that classes are equally frequent; `smote`: smaller classes
    are filled up with mixtures of their images."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the forward pass; the 16-bit ones use autocast (float16 needs a GPU)."""
    memory_format: Literal["auto", "channels_last", "contiguous"] = "auto"
    """Order of images, maps and weights in memory; `auto` takes the faster one known for the model
    and the device."""
    compile: bool = False
    """Compile the model by `torch.compile`: for long runs, and for small students on a GPU, where
    steps become CUDA graphs. Methods that look at maps or heads run the student uncompiled."""


class Training(Strict):
    """Training settings of teachers and of students."""

    teacher: Train = Train()
    """How teachers are pretrained."""
    student: Train = Train()
    """How students are distilled."""
    select: Score = "macro_f1"
    """The validation score that chooses epochs, settings and the student to promote."""
    seed: int = Field(0, ge=0)
    """Seed of the teachers; student run k uses seed + k."""

    @field_validator("student")
    @classmethod
    def _by_its_method(cls, train: Train) -> Train:
        for name, value in (("balance", "class_weights"), ("loss", "bce")):
            if getattr(train, name) == value:
                raise ValueError(f"{value} is for teachers: a student's loss is its method's")
        return train


class Knowledge(Strict):
    """What is recorded of the teachers, so that no trial has to run them."""

    mode: Literal["record", "live"] = "record"
    """`record`: each teacher looks once at each view; `live`: it runs in every training step."""
    views: int | None = Field(8, ge=1)
    """Different views of each image that students see, in turn from epoch to epoch; null: one for
    each epoch. Without augmentation there is one."""
    budget: ByteSize = Field(ByteSize(20 * 10**9), validate_default=False)
    """Storage for maps, of all teachers together; what does not fit is computed live. Logits are
    always recorded."""
    dtype: Literal["float16", "float32"] = "float16"
    """Numbers of recorded maps; logits are float32."""


class Ensemble(Strict):
    """Several teachers that teach together: the mean of their logits."""

    id: Name
    """How the job, the tables and the results call it."""
    of: Many[Name] = Field(min_length=2)
    """Ids of the teachers."""

    @field_validator("of")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is named twice: give two teachers or more, each once")
        return names


class Search(Strict):
    """The search over all pairs and methods, their hyperparameters and the learning rate."""

    trials: int = Field(8, ge=0)
    """Trials a pair and method, on average; 0: no search, the methods' defaults are used. A grid
    has as many as it has combinations."""
    min_trials: int | None = Field(None, ge=1)
    """Trials that each pair and method has at least; the sampler gives the others to those that
    promise most. Null: all have `trials`."""
    hours: float | None = Field(None, gt=0)
    """No trial begins after so many hours of searching, once all have `min_trials`; null: no
    limit."""
    gpu_hours: float | None = Field(None, gt=0)
    """The same, counted in hours of GPUs."""
    sampler: Literal["tpe", "random", "grid", "nsga2"] = "tpe"
    """`tpe` (tree-structured Parzen estimator) learns from earlier trials; `random` does not;
    `grid` tries every combination of choices and steps; `nsga2` (a genetic algorithm) is made for
    several objectives."""
    against: Many[Literal["latency_ms", "macs", "parameters", "file_mb"]] = ()
    """Costs of the student to be kept low beside `train.select`: the result is a Pareto front."""
    scheduler: Literal["asha", "median", "hyperband", "none"] = "asha"
    """What stops weak trials early, among those of the same pair and method: `asha` (asynchronous
    successive halving), `median` (worse than the median so far) or `hyperband`."""
    grace_epochs: int = Field(1, ge=1)
    """No trial is stopped before so many epochs."""
    reduction_factor: int = Field(3, ge=2)
    """ASHA lets one in so many trials pass each rung."""
    epochs: int | None = Field(None, ge=1)
    """Epochs of a trial; null: those of `train.student`."""
    learning_rate: Space | None = None
    """Space of the learning rate; null: fixed at `train.student.learning_rate`."""
    seed: int = Field(0, ge=0)
    """Seed of the sampler."""
    concurrent: int | None = Field(None, ge=1)
    """Trials at once; null: as many as the cluster has room for, of `cpus_per_worker` CPUs or one.
    With 1, an interrupted search ends exactly as an undisturbed one."""
    workers: int = Field(1, ge=1)
    """Workers that share one trial (data parallel, on Ray Train); with more than one, trials run
    one after the other."""
    warm_start: str | None = None
    """An earlier search whose trials the sampler `tpe` learns from: the name of another job in the
    same storage, or the path or URI of its folder."""

    @field_validator("learning_rate")
    @classmethod
    def _above_zero(cls, space: Space | None) -> Space | None:
        ends = (space.choices or (space.min, space.max)) if space else ()
        if any(isinstance(end, bool | str) or end is None or end <= 0 for end in ends):
            raise ValueError("a learning rate must be a number above 0")
        return space

    @model_validator(mode="after")
    def _trials_add_up(self) -> Search:
        least = self.min_trials
        if self.sampler != "grid" and least is not None and least > self.trials > 0:
            raise ValueError(f"min_trials {least} is above trials {self.trials}")
        limits = [name for name in ("hours", "gpu_hours") if getattr(self, name) is not None]
        if limits and least is None:
            raise ValueError(
                f"{limits[0]} needs min_trials: without it every pair has all its trials"
            )
        if len(set(self.against)) < len(self.against):
            raise ValueError("against names a cost twice")
        if self.warm_start is not None and self.sampler != "tpe":
            other = f"{self.sampler} takes nothing of it"
            raise ValueError(f"warm_start needs the sampler tpe: {other}")
        return self


class Evaluate(Strict):
    """The one use of the test split."""

    seeds: int = Field(3, ge=1)
    """Students trained with the best settings of each pair and method, with different seeds."""
    confidence: float = Field(0.95, gt=0, lt=1)
    """Level of the intervals over seeds."""
    latency_repeats: int = Field(30, ge=1)
    """Timed forward passes of one image; the median is reported."""


class Explain(Strict):
    """Explanations of teachers and students: drawn, scored, and compared with each other."""

    methods: Many[PartRef] = tuple(Part(name=name) for name in _EXPLAINERS)
    """Parts of `kdray explainers`, or their presets."""
    images: int = Field(4, ge=1, le=64)
    """Test images in the figures, drawn evenly from the classes."""
    scored: int = Field(16, ge=0)
    """Test images, drawn evenly, that the explanations of every model are scored on; 0: none."""
    models: Literal["all", "best"] = "all"
    """Students that are scored: those of every run, or the best one alone; teachers always are."""
    sanity: bool = True
    """Check those of teachers and best student by random weights and by noise, on 8 images."""


class Resources(Strict):
    """What a run may use of the cluster."""

    workers: int = Field(1, ge=1)
    """Processes that share one training run (data parallel, on Ray Train); with one, as many runs
    go on at once as there is room for."""
    cpus_per_worker: float | None = Field(None, gt=0)
    """CPUs of a worker or trial; null: the CPUs of a node divided by what runs at once, or 1 with
    `autoscale`."""
    gpus_per_worker: float = Field(0, ge=0)
    """GPUs of a worker or trial; a share such as 0.5 lets trials share one GPU."""
    autoscale: bool = False
    """Ask for workers and trials that the cluster has no room for yet, and wait until it has
    grown; a search then needs `search.concurrent`."""
    max_failures: int = Field(3, ge=0)
    """Worker deaths that a training run or a trial survives, from its last checkpoint."""


class Storage(Strict):
    """Where results lie."""

    uri: str = "runs"
    """A folder or s3://bucket/prefix. Jobs with the same storage share finished steps."""


class Experiment(Strict):
    """A job: distil students from teachers, measure, explain and keep the best."""

    model_config = ConfigDict(title="kdray Experiment")

    apiVersion: Literal["kdray/v1"]
    """Version of the job format."""
    kind: Literal["Experiment"]
    """What the job is."""
    name: Name
    """Name of the job: lower-case letters, digits, `-` and `.`."""
    description: str = ""
    """What the job is for, in your words."""
    data: Data
    """The images."""
    teachers: Many[ModelRef] = ()
    """Models that are pretrained and then taught from: `resnet101`, or `{id, model}`."""
    ensembles: Many[Ensemble] = ()
    """Teachers that teach together, as further teachers of the pairs."""
    students: Many[ModelRef] = Field(min_length=1)
    """Models that learn from the teachers."""
    pairs: Annotated[
        Many[Pair],
        BeforeValidator(
            lambda value: () if value == "all" else value,
            json_schema_input_type=Literal["all"] | tuple[Pair, ...],
        ),
    ] = Field((), json_schema_extra={"default": "all"})
    """`all`, or a list of teacher and student ids."""
    methods: Many[MethodRef] = (Method(name="none"), Method(name="kd"))
    """How students learn; `none` (no teacher) is the baseline of the comparisons."""
    train: Training = Training()
    """How teachers and students are trained."""
    knowledge: Knowledge = Knowledge()
    """What is recorded of the teachers."""
    search: Search = Search()
    """The search for the best settings of each pair and method."""
    evaluate: Evaluate = Evaluate()
    """How the best settings are measured."""
    explain: Explain = Explain()
    """How models are explained, and explanations measured."""
    promote: Promote = Promote()
    """Where the best student is kept."""
    resources: Resources = Resources()
    """What a run may use."""
    storage: Storage = Storage()
    """Where results lie."""

    @model_validator(mode="after")
    def _names_fit(self) -> Experiment:
        ids = [model.id for model in (*self.all_teachers(), *self.students)]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"the id {twice[0]!r} stands for two models: give each its own `id`")
        names = [method.name for method in self.methods]
        if len(set(names)) < len(names):
            raise ValueError("a method is listed twice: list each once, with its spaces")
        teachers = {model.id for model in self.teachers}
        strange = sorted({name for item in self.ensembles for name in item.of} - teachers)
        if strange:
            raise ValueError(f"ensembles: no teacher is called {strange[0]!r}")
        return self

    @model_validator(mode="after")
    def _starts_from_another(self) -> Experiment:
        if self.search.warm_start == self.name:
            raise ValueError(
                "search.warm_start names this job itself, whose results it would replace: "
                "give the job another name"
            )
        return self

    @model_validator(mode="after")
    def _growth_is_bounded(self) -> Experiment:
        search = self.search
        counted = search.concurrent is not None or search.workers > 1
        if self.resources.autoscale and search.trials and not counted:
            raise ValueError(
                "resources.autoscale: how far the cluster should grow is not known: "
                "give search.concurrent, the trials at once"
            )
        return self

    def all_teachers(self) -> tuple[Model | Ensemble, ...]:
        """Return the teachers and the ensembles of them."""
        return (*self.teachers, *self.ensembles)

    def all_pairs(self) -> tuple[Pair, ...]:
        """Return the pairs of the job: those listed, or every teacher with every student."""
        if self.pairs:
            return self.pairs
        return tuple(
            Pair(teacher=teacher.id, student=student.id)
            for student in self.students
            for teacher in self.all_teachers()
        )
