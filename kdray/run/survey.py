"""What is recorded of each teacher and what does not fit: shapes and counts, no weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kdray import parts
from kdray.data import DatasetInfo
from kdray.distill import DistillationMethod
from kdray.knowledge.names import Column, in_words, record_key
from kdray.knowledge.outline import Asked, Outline, asked_of
from kdray.models import build_model
from kdray.net import Wants
from kdray.plan import Arm, Plan, takes_maps
from kdray.registry.package import MANIFEST
from kdray.spec.experiment import Knowledge, Model, Train
from kdray.store import Store


@dataclass(frozen=True)
class Ask:
    """Who wants something of a teacher: an arm's method, and the outline of its student."""

    label: str
    method: str
    params: Mapping[str, Any]
    student: Mapping[str, Any]

    def of(self, teacher: Outline, knowledge: Knowledge) -> Asked:
        """Return what it wants of a teacher."""
        student = Outline.from_json(self.student).net
        return asked_of(method_of(self.method, self.params), student, teacher, knowledge.dtype)


@dataclass(frozen=True)
class Recording:
    """What is recorded of one teacher.

    Args:
        teacher: Its id.
        key: Names the record.
        outline: The teacher's places and shapes.
        asks: Who wants what is recorded; nobody where that is logits alone.
        columns: What is recorded.
        views: How many views.
        images: How many images each view has.
        live: Label of an arm that computes its teacher in the training step -> why.
        knowledge: The settings.
    """

    teacher: str
    key: str
    outline: Mapping[str, Any]
    asks: tuple[Ask, ...]
    columns: tuple[Column, ...]
    views: int
    images: int
    live: Mapping[str, str]
    knowledge: Knowledge

    @property
    def column_bytes(self) -> dict[str, int]:
        """Column -> the bytes of its numbers."""
        return {
            column.name: column.image_bytes * self.images * self.views for column in self.columns
        }

    def asked(self) -> tuple[Asked, ...]:
        """Return what is wanted of the teacher: its logits, and what the arms want besides."""
        teacher = Outline.from_json(self.outline)
        return (_logits(teacher), *(ask.of(teacher, self.knowledge) for ask in self.asks))


def survey(plan: Plan, uri: str) -> dict[str, Recording]:
    """Return teacher -> what is recorded of it; the data set is prepared.

    Args:
        plan: The job's plan.
        uri: The storage.

    Raises:
        ModelError: A student or teacher lacks what a method looks at.
    """
    store = Store(uri)
    info = DatasetInfo.of(store.finished(plan.prepare.path))
    return recordings(plan, info, weights_of(plan, store))


def weights_of(plan: Plan, store: Store) -> dict[str, str]:
    """Return teacher -> the hash of its weights, of those that are trained."""
    found = {name: store.read_in(plan.pretrain[name].path, MANIFEST) for name in plan.record}
    packages = {name: json.loads(data) for name, data in found.items() if data}
    return {name: facts["weights"]["sha256"] for name, facts in packages.items()}


def name_of(plan: Plan, teacher: str, weights: Mapping[str, str]) -> str:
    """Return what names all that is recorded of a teacher.

    Args:
        plan: The job's plan.
        teacher: Its id.
        weights: Teacher -> hash of its weights, see ``weights_of``.
    """
    job = plan.job
    keys = (f"{plan.pretrain[teacher].key} {weights.get(teacher, '')}", plan.prepare.key)
    return record_key(*keys, job.data.augment, job.train.seed, job.train.student)


def recordings(
    plan: Plan, info: DatasetInfo, weights: Mapping[str, str] | None = None
) -> dict[str, Recording]:
    """Return teacher -> what is recorded of it.

    The budget goes to the arms that need least more, in turn; logits are outside of it.

    Args:
        plan: The job's plan.
        info: Classes, size, channels and counts of the data set.
        weights: Teacher -> hash of its weights; None where no teacher is trained yet.

    Raises:
        ModelError: A student or teacher lacks what a method looks at.
    """
    job = plan.job
    images = num_images(info, job.train.student)
    models = {model.id: model for model in job.teachers if model.id in plan.record}
    outlines = {name: _outlined(model, info) for name, model in models.items()}
    arms = [arm.arm for arm in plan.arms if takes_maps(arm.arm.method) and plan.record]
    asks = {arm.label: _ask(arm, info) for arm in arms}
    wanted = {
        arm.label: _Wanted(
            arm.teachers[0], asks[arm.label].of(outlines[arm.teachers[0]], job.knowledge).columns
        )
        for arm in arms
    }
    fitting, live = _within(wanted, int(job.knowledge.budget), images * plan.views)
    found = {}
    for name, outline in outlines.items():
        kept = [label for label in fitting if wanted[label].teacher == name]
        columns = {column for label in kept for column in wanted[label].columns}
        found[name] = Recording(
            teacher=name,
            key=name_of(plan, name, weights or {}),
            outline=outline.as_json(),
            asks=tuple(asks[label] for label in kept),
            columns=tuple(sorted(columns.union(_logits(outline).columns))),
            views=plan.views,
            images=images,
            live={label: why for label, why in live.items() if wanted[label].teacher == name},
            knowledge=job.knowledge,
        )
    return found


def num_images(info: DatasetInfo, train: Train) -> int:
    """Return how many different images students learn from."""
    counts = list(info.counts["train"].values())
    if train.per_class is not None:
        counts = [min(count, train.per_class) for count in counts]
    if train.balance == "smote":  # fills every class that has images
        counts = [max(counts) for count in counts if count]
    return sum(counts)


def method_of(name: str, params: Mapping[str, Any]) -> DistillationMethod:
    """Return a method with its settings."""
    part = parts.load("distill", name)
    made: DistillationMethod = part.Method(part.Params.model_validate(dict(params)))
    return made


@dataclass(frozen=True)
class _Wanted:
    """What an arm wants of its teacher."""

    teacher: str
    columns: tuple[Column, ...]

    def maps(self) -> set[tuple[str, Column]]:
        """Return what counts for the budget: all but the logits, each teacher's own."""
        return {(self.teacher, column) for column in self.columns if column.name != "logits"}


def _within(
    wanted: Mapping[str, _Wanted], budget: int, views: int
) -> tuple[list[str], dict[str, str]]:
    """Return the labels of the arms whose columns fit, and why the others do not.

    Args:
        wanted: Label of an arm -> what it wants.
        budget: Bytes.
        views: Views of all images.
    """
    left = {label: one.maps() for label, one in wanted.items()}
    held: set[tuple[str, Column]] = set()
    live: dict[str, str] = {}
    while left:
        more = {
            label: sum(column.image_bytes for _, column in maps - held) * views
            for label, maps in left.items()
        }
        label = min(more, key=more.__getitem__)  # the first of equals
        maps = left.pop(label)
        if more[label] <= budget:
            budget -= more[label]
            held |= maps
        else:
            live[label] = (
                f"needs {in_words(more[label])} more, and knowledge.budget has "
                f"{in_words(budget)} left"
            )
    return [label for label in wanted if label not in live], live


def _logits(outline: Outline) -> Asked:
    """Return the asking for nothing but logits."""
    return Asked(Wants(), _whole, (Column("logits", outline.shapes["logits"], "float32"),))


def _whole(seen: Any) -> Any:
    return seen


def _ask(arm: Arm, info: DatasetInfo) -> Ask:
    header = parts.header("distill", arm.method.name)
    params = header.Params.model_validate(dict(arm.method.params)).model_dump()
    student = _outlined(arm.student, info).as_json()
    return Ask(arm.label, arm.method.name, params, student)


def _outlined(model: Model, info: DatasetInfo) -> Outline:
    sizes = (info.channels, len(info.classes), info.image_size)
    return _outline(model.model_dump_json(), *sizes)


@lru_cache(maxsize=64)
def _outline(model: str, channels: int, classes: int, image_size: int) -> Outline:
    """Return the outline of a model with random weights."""
    part = Model.model_validate_json(model).model
    # Not on the meta device: which layer is the classifier shows in numbers alone.
    net = build_model(
        part.name, part.params, channels=channels, classes=classes, image_size=image_size
    )
    return Outline.of(net, channels, image_size)
