"""What of the step ``explain`` depends on what: the whole, and the parts that jobs share."""

from __future__ import annotations

from typing import Any

from kdray.plan.keys import keyed, part_content
from kdray.plan.steps import Step
from kdray.spec import Experiment
from kdray.spec.strict import Part

#: Of the scored images, so many are checked at most: every check explains each of them anew.
CHECKED = 8


def explain_content(job: Experiment) -> dict[str, Any]:
    """Return the settings that the step's result depends on, presets spelled out."""
    settings = job.explain.model_dump(mode="json", exclude={"methods"})
    methods = [{"title": title, **_content(part)} for title, part in titled(job).items()]
    level = job.evaluate.confidence if job.explain.scored else None
    return {**settings, "methods": methods, "confidence": level, "select": job.train.select}


def explain_facts(job: Experiment, num_teachers: int, num_students: int) -> dict[str, Any]:
    """Return what ``kdray plan`` shows of the step's size."""
    explain = job.explain
    facts = {"images": explain.images, "methods": len(titled(job))}
    if not explain.scored:
        return facts
    models = num_teachers + (1 if explain.models == "best" else num_students)
    return {**facts, "scored": explain.scored, "models": models}


def scored_step(job: Experiment, trained: Step) -> Step:
    """Return where the scores of one trained model's explanations lie, whatever job made them.

    Args:
        job: The job.
        trained: The step that trained the model.
    """
    return _of_model(job, trained, "scores", job.explain.scored)


def checked_step(job: Experiment, trained: Step) -> Step:
    """Return where the sanity of one trained model's explanations lies; see ``scored_step``."""
    return _of_model(job, trained, "sanity", min(job.explain.scored, CHECKED))


def titled(job: Experiment) -> dict[str, Part]:
    """Return title -> method: its name, and its settings where the name is there twice."""
    names = [part.name for part in job.explain.methods]
    return {
        _title(part) if names.count(part.name) > 1 else part.name: part
        for part in job.explain.methods
    }


def _of_model(job: Experiment, trained: Step, what: str, num_images: int) -> Step:
    methods = [_content(part) for part in titled(job).values()]
    content = {"what": what, "images": num_images, "methods": methods}
    return keyed("explain", f"{what} of {trained.label}", content, (trained,), {}, trained.slug)


def _content(part: Part) -> dict[str, Any]:
    return part_content("explain", part.name, part.params)


def _title(part: Part) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in part.params.items())
    return f"{part.name} ({settings})" if settings else part.name
