"""Where a job names parts and models, by path in the file ("*": every item of a list)."""

from __future__ import annotations

from collections.abc import Iterator

from kdray.spec.experiment import Experiment, model_in_full
from kdray.spec.override import Shorthands
from kdray.spec.problem import Problem, nearest
from kdray.spec.service import served_in_full
from kdray.spec.strict import named

#: Kind of job -> path -> folder of the part that is named there.
PARTS: dict[str, dict[tuple[str, ...], str]] = {
    "Experiment": {
        ("data", "source"): "data",
        ("teachers", "*", "model"): "models",
        ("students", "*", "model"): "models",
        ("methods", "*"): "distill",
        ("explain", "methods", "*"): "explain",
    },
    "Service": {("explain", "*"): "explain"},
}

#: Kind of job -> path -> what writes a shortened value in full.
SHORTHANDS: dict[str, Shorthands] = {
    "Experiment": {
        ("data", "source"): named,
        ("teachers", "*"): model_in_full,
        ("teachers", "*", "model"): named,
        ("students", "*"): model_in_full,
        ("students", "*", "model"): named,
        ("methods", "*"): named,
        ("explain", "methods", "*"): named,
    },
    "Service": {("models", "*"): served_in_full, ("explain", "*"): named},
}
SHORTHANDS["Suite"] = {("base", *path): full for path, full in SHORTHANDS["Experiment"].items()}


def unknown_ids(job: Experiment) -> Iterator[Problem]:
    """Yield the ids in ``pairs`` that are no teacher's or no student's, and pairs listed twice."""
    known = {
        "teacher": [model.id for model in job.teachers],
        "student": [model.id for model in job.students],
    }
    for index, pair in enumerate(job.pairs):
        for role, ids in known.items():
            given = getattr(pair, role)
            if given not in ids:
                path = ("pairs", index, role)
                problem = f"pairs.{index}.{role}: no {role} has the id {given!r}."
                yield Problem(path, problem, nearest(given, ids, listed=f"The {role}s"))
        if pair in job.pairs[:index]:
            problem = f"pairs.{index}: {pair.teacher} with {pair.student} is listed twice."
            yield Problem(("pairs", index), problem, "List each pair once.")
