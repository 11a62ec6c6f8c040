"""A job from its plan to its results: performs the steps that have no finished result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kdray.data import fingerprint
from kdray.errors import Stopped
from kdray.models import weights_hash
from kdray.plan import Plan, Step, make_plan
from kdray.report import write_report
from kdray.run.environment import prepare_environment
from kdray.run.journal import Journal, Listener
from kdray.run.results import collect
from kdray.run.tell import Teller
from kdray.spec import Experiment
from kdray.store import Store


def plan_job(job: Experiment) -> Plan:
    """Return the plan of a job, after a look at its source.

    Raises:
        DataError: The source's images are not there.
        JobError: The job names what does not exist.
        ModelError: A weights file is not there.
    """
    uris = {model.weights for model in (*job.teachers, *job.students)}
    weights = {uri: weights_hash(uri) for uri in sorted(uris - {"none", "imagenet"})}
    return make_plan(job, fingerprint(job.data), weights)


def run_job(
    job: Experiment,
    spec: str,
    listeners: Sequence[Listener] = (),
    *,
    place: str = "",
    command: str = "",
) -> dict[str, Any]:
    """Perform a job's unfinished steps and return its results.

    Ctrl-C ends it cleanly; running it again continues.

    Args:
        job: The job.
        spec: Its text, kept with the results.
        listeners: Told of every event.
        place: Path of the job file, for `kdray status`.
        command: The command that runs it, for `kdray status`.

    Raises:
        KdrayError: A step failed.
        Stopped: The user stopped it.
    """
    store = Store(job.storage.uri)
    with Journal(store, job.name, listeners) as journal:
        plan = plan_job(job)
        journal.state(spec=place, command=command)
        store.write_json(f"jobs/{job.name}/job.json", job.model_dump(mode="json"))
        steps = [
            {"id": step.id, "kind": step.kind, "label": step.label, "state": state}
            for step, state in states(plan, store)
        ]
        journal.event("job_started", steps=steps)
        teller = Teller(journal, plan)
        for item in steps:
            if item["state"] == "done":
                journal.event("step_skipped", item["id"])
        if any(item["state"] != "done" for item in steps):
            _interruptible(lambda: _perform(plan, store, teller))
        return _finish(plan, store, journal, spec)


def states(plan: Plan, store: Store) -> list[tuple[Step, str]]:
    """Return each step with its state: ``done``, ``started`` or ``waiting``."""
    begun = set(store.list("work"))

    def state(step: Step) -> str:
        if store.result(step.path) is not None:
            return "done"
        return "started" if any(name.split("-")[0] == step.key for name in begun) else "waiting"

    return [(step, state(step)) for step in plan.steps()]


def _perform(plan: Plan, store: Store, tell: Teller) -> None:
    """Perform the missing steps in one Ray session."""
    prepare_environment()
    # Ray reads the environment on import, takes seconds, and a finished job needs none of it.
    from kdray.run.stages import perform

    perform(plan, store, tell)


def _interruptible(work: Callable[[], None]) -> None:
    """Run ``work`` in a thread, so that Ctrl-C reaches this one and not Ray's handlers.

    Raises:
        Stopped: The user pressed Ctrl-C, or the process was asked to end.
    """
    failure: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body, name="kdray-run", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.2)
    except KeyboardInterrupt:
        _end_session()
        raise Stopped("", "Stopped.", "Run the same command again to continue.") from None
    if failure:
        raise failure[0]


def _end_session() -> None:
    import ray  # the thread that was interrupted has imported it

    if ray.is_initialized():
        ray.shutdown()


def _finish(plan: Plan, store: Store, journal: Journal, spec: str) -> dict[str, Any]:
    """Write results and report, and return the results."""
    folder = f"jobs/{plan.job.name}"
    results = collect(plan, store, _seconds(journal.events(), plan))
    store.write_json(f"{folder}/results.json", results)
    store.write(f"{folder}/report.html", write_report(results, store, spec).encode())
    return results


def _seconds(events: Iterable[Mapping[str, Any]], plan: Plan) -> dict[str, float]:
    """Return the time spent on each kind of step, over all runs of the job."""
    kinds = {step.id: step.kind for step in plan.steps()}
    spent: dict[str, float] = {}
    for event in events:
        if event["kind"] == "step_finished" and event.get("step") in kinds:
            kind = kinds[event["step"]]
            spent[kind] = spent.get(kind, 0.0) + float(event.get("seconds") or 0)
    return {kind: round(value, 1) for kind, value in spent.items()}
