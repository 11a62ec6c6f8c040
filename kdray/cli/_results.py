"""A job's results by its name or its file, for the verbs that show them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import yaml

from kdray.cli._jobs import find_job, is_file, resolve
from kdray.errors import JobError, RunError
from kdray.plan.read import experiments_of, read_work
from kdray.run.journal import read_events, read_state
from kdray.spec import Suite
from kdray.store import Store


@dataclass(frozen=True)
class Found:
    """A finished job.

    Args:
        job: Its name.
        store: The storage it lies in.
        results: The content of its ``results.json``.
        spec_text: The job as it was run, as YAML.
    """

    job: str
    store: Store
    results: dict[str, Any]
    spec_text: str


def find_results(target: str, storage: str | None) -> Found:
    """Return the results of a job.

    Args:
        target: A job file, or the name of a job.
        storage: URI of the storage; None: the file's, or ``runs``.

    Raises:
        JobError: There is no such file and no such job.
        RunError: The job has no results yet.
    """
    job, uri = resolve(target, storage)
    store = Store(uri)
    results = store.read_json(f"jobs/{job}/results.json")
    if results is None:
        raise _not_yet(store, job, target, storage)
    ran = store.read_json(f"jobs/{job}/job.json")
    text = yaml.safe_dump(ran, sort_keys=False, allow_unicode=True, width=100) if ran else ""
    return Found(job, store, results, text)


def find_suite(target: str, storage: str | None) -> tuple[Suite, Store] | None:
    """Return the suite that ``JOB|SPEC`` names, with its storage; None: it names no suite.

    A suite's experiments are looked at as they are: it need not have run to its end.
    """
    if is_file(target):
        spec = read_work(target)
        if not isinstance(spec, Suite):
            return None
        return spec, Store(storage or experiments_of(spec)[0].storage.uri)
    job, uri = resolve(target, storage)
    store = Store(uri)
    ran = store.read_json(f"jobs/{job}/job.json") or {}
    return (Suite.model_validate(ran), store) if ran.get("kind") == "Suite" else None


def split_of(results: dict[str, Any], split: str | None) -> str | None:
    """Return the split that was asked for; None: all.

    Raises:
        JobError: The results have no such split.
    """
    known = list(results["splits"])
    if split is None or split in known:
        return split
    close = difflib.get_close_matches(split, known, n=1)
    remedy = (
        f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known) or 'none'}."
    )
    raise JobError("--split", f"the results have no split {split!r}.", remedy)


def _not_yet(store: Store, job: str, target: str, storage: str | None) -> RunError:
    state = read_state(store, job)
    where = f"{store.uri}/jobs/{job}"
    if state is None and is_file(target):
        return RunError(where, "this job has not run yet.", f"Run it: kdray run {target}")
    if state is None:
        _, _, state = find_job(target, storage)  # its error names the nearest job
    again = state.get("command") or f"kdray run {state.get('spec') or 'SPEC'}"
    again = "kdray submit SPEC" if state.get("launch") else again  # its file there was a copy
    remedy = {
        "running": f"Watch it: kdray status {target}",
        "finished": f"It finished without them; run it again: {again}",
    }.get(state["state"], f"Continue it: {again}")
    return RunError(where, f"there are no results yet: {_how_far(store, job, state)}.", remedy)


def _how_far(store: Store, job: str, state: dict[str, Any]) -> str:
    steps: list[dict[str, Any]] = []
    done: set[str] = set()
    for event in read_events(store, job):
        if event["kind"] == "job_started":
            steps, done = event.get("steps") or [], set()
            done |= {step["id"] for step in steps if step.get("state") == "done"}
        elif event["kind"] in ("step_finished", "step_skipped"):
            done.add(event["step"])
    at = f" at {state['step']}" if state.get("step") else ""
    counted = f", {len(done)} of {len(steps)} steps done" if steps else ""
    why = f" ({state['error']})" if state["state"] == "failed" and state.get("error") else ""
    return f"the job is {state['state']}{at}{counted}{why}"
