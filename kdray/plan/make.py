"""A job to its steps: what depends on what, under which key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kdray import parts
from kdray.errors import JobError
from kdray.plan.spaces import spaces_of
from kdray.spec import Experiment
from kdray.spec.experiment import Method, Model
from kdray.spec.space import Space
from kdray.spec.strict import Part

#: Raised when the code of a step changes what it produces from equal settings.
CODE = {
    "prepare": 1,
    "pretrain": 1,
    "search": 1,
    "distil": 1,
    "evaluate": 2,
    "explain": 3,
    "promote": 1,
}
#: The order in which the kinds of steps run.
KINDS = tuple(CODE)


@dataclass(frozen=True)
class Step:
    """One resumable piece of a job.

    Args:
        kind: One of ``KINDS``.
        label: What people call it.
        slug: The label as part of a file name.
        key: Hash of everything the result depends on, 16 hexadecimal digits.
        needs: Ids of the steps it waits for.
        facts: What ``kdray plan`` shows of its size.
    """

    kind: str
    label: str
    slug: str
    key: str
    needs: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Kind, name and key: unique in a storage."""
        return f"{self.kind}/{self.slug}-{self.key}"

    @property
    def path(self) -> str:
        """Where its result lies in the storage."""
        return f"steps/{self.id}"


@dataclass(frozen=True)
class Arm:
    """One student taught by one teacher with one method; without a teacher for the baseline."""

    student: Model
    teacher: Model | None
    method: Method

    @property
    def label(self) -> str:
        """What people call it: ``student <- teacher (method)`` or ``student alone``."""
        if self.teacher is None:
            alone = self.method.name == "none"
            return f"{self.student.id} {'alone' if alone else f'({self.method.name})'}"
        return f"{self.student.id} <- {self.teacher.id} ({self.method.name})"

    @property
    def slug(self) -> str:
        """The label as part of a file name."""
        teacher = () if self.teacher is None else (self.teacher.id,)
        return "-".join((self.student.id, *teacher, self.method.name))


@dataclass(frozen=True)
class ArmSteps:
    """The steps of one arm: its search, if any, and one distillation for each seed."""

    arm: Arm
    spaces: Mapping[str, Space]
    search: Step | None
    distil: tuple[Step, ...]


@dataclass(frozen=True)
class Plan:
    """Everything a job will do."""

    job: Experiment
    prepare: Step
    pretrain: Mapping[str, Step]
    arms: tuple[ArmSteps, ...]
    evaluate: Step
    explain: Step
    promote: Step

    def steps(self) -> tuple[Step, ...]:
        """Return all steps, in the order in which they run."""
        searches = [arm.search for arm in self.arms if arm.search is not None]
        distils = [step for arm in self.arms for step in arm.distil]
        return (
            self.prepare,
            *self.pretrain.values(),
            *searches,
            *distils,
            self.evaluate,
            self.explain,
            self.promote,
        )


def make_plan(job: Experiment, fingerprint: str, weights: Mapping[str, str] | None = None) -> Plan:
    """Return the plan of a job.

    Args:
        job: The job.
        fingerprint: Changes whenever the images of its source change.
        weights: Path or URI of each weights file of its models -> hash of its content.

    Raises:
        JobError: A pair names a model that the job does not have, or no method fits.
    """
    prepare, files = _prepare(job, fingerprint), weights or {}
    pretrain = {item.id: _pretrain(job, item, prepare, files) for item in _teachers_needed(job)}
    arms = tuple(_arm_steps(job, arm, prepare, pretrain, files) for arm in arms_of(job))
    if not arms:
        raise JobError("methods", "no pair has a method.", "List `none` or a method of a teacher.")
    distils = [step for arm in arms for step in arm.distil]
    trained = (*pretrain.values(), *distils)
    count = {"models": len(trained)}
    # Results name the models, in order: keys alone would hide new names.
    named = {"models": [step.id for step in trained]}
    measured = {"evaluate": job.evaluate, **named, **_baselines(job)}
    evaluate = _step("evaluate", "evaluate", measured, trained, count)
    shown = {"explain": job.explain, "select": job.train.select, **named}
    explain = _step("explain", "explain", shown, trained, {"images": job.explain.images})
    chosen = {"promote": job.promote, "job": job.name, "select": job.train.select}
    promote = _step("promote", "promote", chosen, (evaluate, explain), {})
    return Plan(job, prepare, pretrain, arms, evaluate, explain, promote)


def arms_of(job: Experiment) -> tuple[Arm, ...]:
    """Return the arms of a job: methods without a teacher once a student, others once a pair."""
    teachers = {model.id: model for model in job.teachers}
    students = {model.id: model for model in job.students}
    arms: dict[tuple[str, str | None, str], Arm] = {}
    for index, pair in enumerate(job.all_pairs()):
        student = _known(students, pair.student, f"pairs.{index}.student")
        teacher = _known(teachers, pair.teacher, f"pairs.{index}.teacher")
        for method in job.methods:
            needed = teacher if _needs_teacher(method) else None
            key = (student.id, needed.id if needed else None, method.name)
            if method.is_for(key[0], key[1]):
                arms.setdefault(key, Arm(student, needed, method))
    if not teachers:
        arms = {
            (id, None, method.name): Arm(student, None, method)
            for id, student in students.items()
            for method in _alone(job)
            if method.is_for(id, None)
        }
    order = [(student, teacher) for student in students for teacher in (None, *teachers)]
    return tuple(arms[key] for key in sorted(arms, key=lambda key: order.index(key[:2])))


def _baselines(job: Experiment) -> dict[str, dict[str, str]]:
    given = {item.id: item.baseline for item in job.students if item.baseline is not None}
    return {"baselines": given} if given else {}


def _needs_teacher(method: Method) -> bool:
    return bool(parts.header("distill", method.name).constants["NEEDS"])


def _alone(job: Experiment) -> tuple[Method, ...]:
    """Return the methods of a job without teachers.

    Raises:
        JobError: One of them needs a teacher.
    """
    for index, method in enumerate(job.methods):
        if _needs_teacher(method):
            problem = f"{method.name} needs a teacher, and the job has none."
            raise JobError(
                f"methods.{index}", problem, "List `teachers`, or the method none alone."
            )
    return job.methods


def _known(models: Mapping[str, Model], name: str, where: str) -> Model:
    if name not in models:
        raise JobError(
            where, f"no model of the job is called {name!r}.", f"Its ids: {', '.join(models)}."
        )
    return models[name]


def _teachers_needed(job: Experiment) -> list[Model]:
    needed = {arm.teacher.id for arm in arms_of(job) if arm.teacher is not None}
    return [model for model in job.teachers if model.id in needed]


def _prepare(job: Experiment, fingerprint: str) -> Step:
    data = job.data.model_dump(mode="json", exclude={"augment"})
    source = _part("data", job.data.source.name, job.data.source.params)
    for name in parts.header("data", job.data.source.name).constants.get("PLACE", ()):
        source["params"].pop(name)  # the same images elsewhere are the same data set
    data["source"] = source
    facts = {"source": job.data.source.name, "image_size": job.data.image_size}
    return _step("prepare", job.data.source.name, {"data": data, "images": fingerprint}, (), facts)


def _pretrain(job: Experiment, model: Model, prepare: Step, files: Mapping[str, str]) -> Step:
    settings = {"model": _model(model, files), "train": job.train.teacher, **_training(job)}
    settings |= {"seed": job.train.seed}
    facts = {"epochs": job.train.teacher.epochs, "workers": job.resources.workers}
    return _step("pretrain", model.id, settings, (prepare,), facts)


def _arm_steps(
    job: Experiment,
    arm: Arm,
    prepare: Step,
    pretrain: Mapping[str, Step],
    files: Mapping[str, str],
) -> ArmSteps:
    spaces = spaces_of(job.search, arm.method)
    method = _part("distill", arm.method.name, arm.method.params)
    settings = {"model": _model(arm.student, files), "method": method, **_training(job)}
    needs = (prepare,) if arm.teacher is None else (prepare, pretrain[arm.teacher.id])
    search = _search(job, arm, settings, spaces, needs) if spaces else None
    before = needs if search is None else (*needs, search)
    facts = {"epochs": job.train.student.epochs, "workers": job.resources.workers}
    seeds = [job.train.seed + index for index in range(job.evaluate.seeds)]
    distil = tuple(
        _step(
            "distil",
            f"{arm.label} seed {seed}",
            {**settings, "train": job.train.student, "seed": seed},
            before,
            facts,
            f"{arm.slug}-s{seed}",
        )
        for seed in seeds
    )
    return ArmSteps(arm, spaces, search, distil)


def _search(
    job: Experiment,
    arm: Arm,
    settings: Mapping[str, Any],
    spaces: Mapping[str, Space],
    needs: tuple[Step, ...],
) -> Step:
    facts = {
        "trials": job.search.trials,
        "epochs": job.search.epochs or job.train.student.epochs,
        "over": list(spaces),
    }
    own = {"train": job.train.student, "search": job.search, "spaces": spaces}
    content = {**settings, **own, "seed": job.train.seed}
    return _step("search", arm.label, content, needs, facts, arm.slug)


def _training(job: Experiment) -> dict[str, Any]:
    return {
        "augment": job.data.augment,
        "select": job.train.select,
        "workers": job.resources.workers,
    }


def _model(model: Model, files: Mapping[str, str]) -> dict[str, Any]:
    part = _part("models", model.model.name, model.model.params)
    return {"part": part, "weights": files.get(model.weights, model.weights)}


def _part(folder: str, name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    part = parts.canonical(folder, Part(name=name, params=dict(params)))
    filled = parts.header(folder, part.name).Params.model_validate(part.params)
    return {"name": part.name, "params": filled.model_dump(mode="json")}


def _step(
    kind: str,
    label: str,
    content: Mapping[str, Any],
    needs: Iterable[Step],
    facts: Mapping[str, Any],
    slug: str = "",
) -> Step:
    before = tuple(needs)
    whole = {
        "code": CODE[kind],
        "content": _plain(content),
        "needs": sorted(step.key for step in before),
    }
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Step(kind, label, slug or label, key, tuple(step.id for step in before), facts)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value
