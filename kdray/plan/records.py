"""The steps that record what teachers see, and the views that they and the students see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdray.plan.arms import takes_maps, teachers_of
from kdray.plan.keys import CODE, keyed, model_content, part_content
from kdray.plan.steps import Arm, Step
from kdray.spec import Experiment
from kdray.spec.data import AUGMENTS, Augment


def num_views(job: Experiment) -> int:
    """Return how many different views of each image the students of a job see."""
    if job.data.augment == Augment.model_validate(AUGMENTS["none"]):
        return 1
    student = job.train.student
    epochs = max(student.epochs, (job.search.epochs or 1) if job.search.trials else 1)
    if student.balance == "sampling":  # drawn again in an epoch, an image shows the view after
        return job.knowledge.views or epochs
    return min(job.knowledge.views or epochs, epochs)


def seen_content(job: Experiment) -> dict[str, Any]:
    """Return what names the views of a job's students."""
    return {"augment": job.data.augment, "seed": job.train.seed, "number": num_views(job)}


def learnt_content(job: Experiment, arm: Arm) -> dict[str, Any]:
    """Return how a student's teachers are asked; the budget decides on rounding alone."""
    if not arm.teachers:
        return {}
    maps = {"dtype": job.knowledge.dtype} if takes_maps(arm.method) else {}
    return {"mode": job.knowledge.mode, "code": CODE["record"], **maps}


def record_steps(
    job: Experiment, arms: Sequence[Arm], pretrain: Mapping[str, Step], files: Mapping[str, str]
) -> dict[str, Step]:
    """Return teacher -> the recording of its looks.

    Args:
        job: The job.
        arms: Its arms.
        pretrain: Teacher -> its training.
        files: Path or URI of a weights file -> hash of its content.
    """
    if job.knowledge.mode == "live":
        return {}
    train = job.train.student
    pool = {name: getattr(train, name) for name in ("per_class", "balance", "subset_seed")}
    seen = {"views": seen_content(job), "pool": pool}
    maps = _maps(job, [arm for arm in arms if takes_maps(arm.method)], pretrain, files)
    found: dict[str, Step] = {}
    for teacher in teachers_of(job):
        wanted = any(takes_maps(arm.method) for arm in arms if teacher.id in arm.teachers)
        # The budget is one for all teachers: what fits of one depends on the others' arms.
        content = {**seen, "maps": maps} if wanted else seen
        facts = {"views": num_views(job)}
        found[teacher.id] = keyed("record", teacher.id, content, (pretrain[teacher.id],), facts)
    return found


def _maps(
    job: Experiment, arms: Sequence[Arm], pretrain: Mapping[str, Step], files: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "arms": [
            {
                "label": arm.label,
                "student": model_content(arm.student, files),
                "method": part_content("distill", arm.method.name, arm.method.params),
                "teachers": [pretrain[name].key for name in arm.teachers],
            }
            for arm in arms
        ],
        "budget": int(job.knowledge.budget),
        "dtype": job.knowledge.dtype,
    }
