"""Trials of an earlier search, for the sampler of a new one to learn from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kdray.errors import JobError
from kdray.spec import Experiment
from kdray.store import Store

if TYPE_CHECKING:
    from kdray.run.trials import Record, SearchArm


def warm_start_hash(job: Experiment) -> str | None:
    """Return a hash of the earlier search's trials, or None where the job names none.

    Raises:
        JobError: The earlier search is not there, or chose by another score.
    """
    if job.search.warm_start is None or job.search.trials == 0:
        return None
    kept = [
        {key: found.get(key) for key in ("student", "teacher", "method", "trials")}
        for found in _searches(job)
    ]
    text = json.dumps(kept, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def earlier_records(job: Experiment, arms: Sequence[SearchArm]) -> list[Record]:
    """Return the earlier search's finished trials that lie within the spaces of the same arms.

    Args:
        job: The job.
        arms: Its arms; one is the same if student, teacher and method have the same names.

    Raises:
        JobError: The earlier search is not there, or chose by another score.
    """
    if job.search.warm_start is None:
        return []
    known = {(arm.student, arm.teacher, arm.method.name): arm for arm in arms}
    taken = []
    for found in _searches(job):
        arm = known.get((found["student"], found["teacher"], found["method"]))
        if arm is not None:
            taken += [trial for item in found["trials"] if (trial := _fitting(arm, item))]
    return taken


def _fitting(arm: SearchArm, trial: Mapping[str, Any]) -> Record | None:
    """Return a trial of an earlier search as one of an arm, or None if it is not within it."""
    # Optuna takes half a second to import, and planning needs only the hash.
    from kdray.run.trials import Record, contains

    params, score = trial["params"], trial.get("score")
    known = set(params) == set(arm.spaces)
    if trial["state"] not in ("complete", "pruned") or score is None or not known:
        return None
    inside = all(contains(space, params[key]) for key, space in arm.spaces.items())
    if not (inside and math.isfinite(score) and arm.allows(params)):
        return None
    values = [float(value) for value in trial.get("values") or ()]
    return Record(-1, arm.slug, dict(params), values, float(score), trial["state"])


def _searches(job: Experiment) -> list[dict[str, Any]]:
    """Return the searches of the earlier job, an arm each, as ``results.json`` holds them."""
    name = job.search.warm_start or ""
    if "/" in name:
        store, file = Store(name), "results.json"
    else:
        store, file = Store(job.storage.uri), f"jobs/{name}/results.json"
    results = store.read_json(file)
    searches = list((results or {}).get("searches") or ())
    if not searches:
        problem = f"no search of {name!r} is finished: {store.uri_of(file)} holds none."
        if results is None:
            problem = f"there is no finished job {name!r}: {store.uri_of(file)} is not there."
        remedy = "Name a job of this storage (`kdray jobs`), or the path or URI of its folder."
        raise JobError("search.warm_start", problem, remedy)
    other = {found.get("select") for found in searches} - {job.train.select}
    if other:
        raise JobError(
            "search.warm_start",
            f"{name!r} chose by {sorted(map(str, other))[0]}, this job by {job.train.select}.",
            "Set train.select to the same score, or leave warm_start out.",
        )
    return searches
