"""What a plan is made of: its arms, and the steps of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kdray.spec import Experiment
from kdray.spec.experiment import Ensemble, Method, Model
from kdray.spec.space import Space


@dataclass(frozen=True)
class Step:
    """One resumable piece of a job.

    Args:
        kind: One of ``kdray.plan.keys.KINDS``.
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
    teacher: Model | Ensemble | None
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

    @property
    def teachers(self) -> tuple[str, ...]:
        """Ids of the models that teach: the teacher, the members of an ensemble, or nobody."""
        if isinstance(self.teacher, Ensemble):
            return self.teacher.of
        return () if self.teacher is None else (self.teacher.id,)


@dataclass(frozen=True)
class ArmSteps:
    """What is searched for an arm, if anything, and one distillation for each seed."""

    arm: Arm
    spaces: Mapping[str, Space]
    distil: tuple[Step, ...]


@dataclass(frozen=True)
class Plan:
    """Everything a job will do.

    Args:
        job: The job.
        prepare: Images to a data set.
        pretrain: Teacher -> its training.
        record: Teacher -> the recording of its looks; empty where all are computed live.
        views: Different views of each image that the students see.
        search: The one search over all arms that have spaces, if any.
        arms: The students' runs.
        evaluate: Scores and costs.
        explain: The figure.
        promote: The registry.
    """

    job: Experiment
    prepare: Step
    pretrain: Mapping[str, Step]
    record: Mapping[str, Step]
    views: int
    search: Step | None
    arms: tuple[ArmSteps, ...]
    evaluate: Step
    explain: Step
    promote: Step

    @property
    def ensembles(self) -> tuple[Ensemble, ...]:
        """The ensembles that teach, in the job's order."""
        taught = {arm.arm.teacher.id for arm in self.arms if arm.arm.teacher is not None}
        return tuple(item for item in self.job.ensembles if item.id in taught)

    @property
    def searched(self) -> tuple[ArmSteps, ...]:
        """The arms that have something to search."""
        return tuple(arm for arm in self.arms if arm.spaces)

    def steps(self) -> tuple[Step, ...]:
        """Return all steps, in the order in which they run."""
        return (
            self.prepare,
            *self.pretrain.values(),
            *self.record.values(),
            *(() if self.search is None else (self.search,)),
            *(step for arm in self.arms for step in arm.distil),
            self.evaluate,
            self.explain,
            self.promote,
        )
