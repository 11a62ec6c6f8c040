"""A job to its steps: what depends on what, under which key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdray import parts
from kdray.errors import JobError
from kdray.plan.arms import arms_of, teachers_of
from kdray.plan.explained import explain_content, explain_facts
from kdray.plan.keys import keyed, model_content, part_content
from kdray.plan.records import learnt_content, record_steps, seen_content
from kdray.plan.spaces import num_trials, spaces_of
from kdray.plan.steps import Arm, ArmSteps, Plan, Step
from kdray.spec import Experiment
from kdray.spec.experiment import Model


def make_plan(
    job: Experiment,
    fingerprint: str,
    weights: Mapping[str, str] | None = None,
    warm_start: str | None = None,
) -> Plan:
    """Return the plan of a job.

    Args:
        job: The job.
        fingerprint: Changes whenever the images of its source change.
        weights: Path or URI of each weights file of its models -> hash of its content.
        warm_start: Hash of the trials of the earlier search, if the job names one.

    Raises:
        JobError: A pair names a model that the job does not have, or no method fits.
    """
    prepare, files = _prepare(job, fingerprint), weights or {}
    found = arms_of(job)
    if not found:
        raise JobError("methods", "no pair has a method.", "List `none` or a method of a teacher.")
    pretrain = {item.id: _pretrain(job, item, prepare, files) for item in teachers_of(job)}
    record = record_steps(job, found, pretrain, files)
    taught = [_Taught(job, arm, prepare, pretrain, record, files) for arm in found]
    search = _search(job, taught, warm_start)
    arms = tuple(ArmSteps(item.arm, item.spaces, item.distil(search)) for item in taught)
    trained = (*pretrain.values(), *(step for arm in arms for step in arm.distil))
    # Results name the models, in order: keys alone would hide new names.
    named = {"models": [step.id for step in trained]} | _ensembles(job, found)
    measured = {"evaluate": job.evaluate, **named, **_baselines(job)}
    evaluate = keyed("evaluate", "evaluate", measured, trained, {"models": len(trained)})
    # A baseline says whose teachers a student alone is compared with.
    shown = {**explain_content(job), **named, **(_baselines(job) if job.explain.scored else {})}
    facts = explain_facts(job, len(pretrain), len(trained) - len(pretrain))
    explain = keyed("explain", "explain", shown, trained, facts)
    chosen = {"promote": job.promote, "job": job.name, "select": job.train.select}
    promote = keyed("promote", "promote", chosen, (evaluate, explain), {})
    views = seen_content(job)["number"]
    return Plan(job, prepare, pretrain, record, views, search, arms, evaluate, explain, promote)


class _Taught:
    """What the runs of one arm depend on."""

    def __init__(
        self,
        job: Experiment,
        arm: Arm,
        prepare: Step,
        pretrain: Mapping[str, Step],
        record: Mapping[str, Step],
        files: Mapping[str, str],
    ) -> None:
        self.arm = arm
        self.spaces = spaces_of(job.search, arm.method)
        self.needs = (prepare, *(pretrain[name] for name in arm.teachers))
        # What else is recorded of its teachers, for whom, makes no other run of it.
        self.after = tuple(record[name] for name in arm.teachers if name in record)
        self.settings = {
            "model": model_content(arm.student, files),
            "method": part_content("distill", arm.method.name, arm.method.params),
            "teachers": [pretrain[name].key for name in arm.teachers],
            "views": seen_content(job),
            "knowledge": learnt_content(job, arm),
            "select": job.train.select,
        }
        self._job = job

    def distil(self, search: Step | None) -> tuple[Step, ...]:
        """Return one run for each seed, after the search if there is something to search."""
        job, arm = self._job, self.arm
        found = (search,) if search is not None and self.spaces else ()
        facts = {"epochs": job.train.student.epochs, "workers": job.resources.workers}
        settings = {
            **self.settings,
            "train": job.train.student,
            "workers": job.resources.workers,
            "found": arm.slug if found else "",
        }
        return tuple(
            keyed(
                "distil",
                f"{arm.label} seed {seed}",
                {**settings, "seed": seed},
                (*self.needs, *found),
                facts,
                f"{arm.slug}-s{seed}",
                self.after,
            )
            for seed in range(job.train.seed, job.train.seed + job.evaluate.seeds)
        )


def _search(job: Experiment, taught: Sequence[_Taught], warm_start: str | None) -> Step | None:
    """Return the one search over all arms that have spaces, or None where none has."""
    arms = [item for item in taught if item.spaces]
    if not arms:
        return None
    content = {
        # Its result goes by the slugs, and its sampler by their order.
        "arms": [{"arm": a.arm.slug, **a.settings, "spaces": a.spaces} for a in arms],
        "train": job.train.student,
        # How many run at once may change while it is interrupted.
        "search": job.search.model_dump(mode="json", exclude={"concurrent"}),
        "seed": job.train.seed,
        "warm_start": warm_start,
    }
    facts = {
        "arms": len(arms),
        "trials": sum(num_trials(job.search, item.arm.method, item.spaces) for item in arms),
        "epochs": job.search.epochs or job.train.student.epochs,
        "over": list(dict.fromkeys(name for item in arms for name in item.spaces)),
    }
    needs = {step.id: step for item in arms for step in item.needs}
    after = {step.id: step for item in arms for step in item.after}
    return keyed("search", "search", content, needs.values(), facts, after=after.values())


def _prepare(job: Experiment, fingerprint: str) -> Step:
    data = job.data.model_dump(mode="json", exclude={"augment"})
    source = part_content("data", job.data.source.name, job.data.source.params)
    for name in parts.header("data", job.data.source.name).constants.get("PLACE", ()):
        source["params"].pop(name)  # the same images elsewhere are the same data set
    data["source"] = source
    facts = {"source": job.data.source.name, "image_size": job.data.image_size}
    return keyed("prepare", job.data.source.name, {"data": data, "images": fingerprint}, (), facts)


def _pretrain(job: Experiment, model: Model, prepare: Step, files: Mapping[str, str]) -> Step:
    settings: dict[str, Any] = {
        "model": model_content(model, files),
        "train": job.train.teacher,
        "augment": job.data.augment,
        "select": job.train.select,
        "workers": job.resources.workers,
        "seed": job.train.seed,
    }
    facts = {"epochs": job.train.teacher.epochs, "workers": job.resources.workers}
    return keyed("pretrain", model.id, settings, (prepare,), facts)


def _baselines(job: Experiment) -> dict[str, dict[str, str]]:
    given = {item.id: item.baseline for item in job.students if item.baseline is not None}
    return {"baselines": given} if given else {}


def _ensembles(job: Experiment, arms: Sequence[Arm]) -> dict[str, dict[str, list[str]]]:
    taught = {arm.teacher.id for arm in arms if arm.teacher is not None}
    given = {item.id: list(item.of) for item in job.ensembles if item.id in taught}
    return {"ensembles": given} if given else {}
