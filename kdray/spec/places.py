"""Where a job names parts and models, by path in the file ("*": every item of a list)."""

from __future__ import annotations

from collections.abc import Iterator

from kdray.spec.experiment import Experiment, model_in_full
from kdray.spec.override import Shorthands
from kdray.spec.problem import Path, Problem, nearest
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
    """Yield ids that no model of that role has, and pairs listed twice."""
    for path, role, given in _named_ids(job):
        yield from _unknown(job, role, given, path)
    for index, pair in enumerate(job.pairs):
        if pair in job.pairs[:index]:
            problem = f"pairs.{index}: {pair.teacher} with {pair.student} is listed twice."
            yield Problem(("pairs", index), problem, "List each pair once.")


def _named_ids(job: Experiment) -> Iterator[tuple[Path, str, str]]:
    """Yield where an id is named, the role that it must have, and the id."""
    for index, model in enumerate(job.students):
        if model.baseline is not None:
            yield ("students", index, "baseline"), "student", model.baseline
    for index, pair in enumerate(job.pairs):
        for role in ("teacher", "student"):
            yield ("pairs", index, role), role, getattr(pair, role)
    for index, method in enumerate(job.methods):
        for roles in ("teachers", "students"):
            for place, given in enumerate(getattr(method, roles)):
                yield ("methods", index, roles, place), roles[:-1], given


def _unknown(job: Experiment, role: str, given: str, path: Path) -> Iterator[Problem]:
    ids = [model.id for model in (job.teachers if role == "teacher" else job.students)]
    if given not in ids:
        problem = f"{'.'.join(map(str, path))}: no {role} has the id {given!r}."
        yield Problem(path, problem, nearest(given, ids, listed=f"The {role}s"))
