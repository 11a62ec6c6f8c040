"""A job from its plans to its results: performs the steps that have no finished result."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pydantic import ValidationError

from kdray import parts
from kdray.data import fingerprint
from kdray.errors import Stopped
from kdray.models import weights_hash
from kdray.plan import Plan, Step, experiments_of, make_plan
from kdray.report import compare, write_report, write_suite_report
from kdray.run.environment import prepare_environment
from kdray.run.journal import Journal, Listener
from kdray.run.results import collect
from kdray.run.tell import Teller
from kdray.run.warm import warm_start_hash
from kdray.spec import Experiment, Suite
from kdray.store import Store

#: Seconds in which a stopped job's work ends by itself; its longest wait for Ray is shorter.
_PATIENCE_S = 15.0


def plan_job(job: Experiment) -> Plan:
    """Return the plan of an experiment, after a look at its source.

    Raises:
        DataError: The source's images are not there.
        JobError: The job names what does not exist.
        ModelError: A weights file is not there.
    """
    return plan_jobs([job])[0]


def plan_jobs(jobs: Iterable[Experiment]) -> list[Plan]:
    """Return the plans of experiments; each source is looked at once. Errors as ``plan_job``."""
    seen: dict[str, str] = {}

    def images(job: Experiment) -> str:
        key = job.data.model_dump_json()
        if key not in seen:
            seen[key] = fingerprint(job.data)
        return seen[key]

    return [make_plan(job, images(job), _weights(job), warm_start_hash(job)) for job in jobs]


def run_job(
    job: Experiment | Suite,
    spec: str,
    listeners: Sequence[Listener] = (),
    *,
    place: str = "",
    command: str = "",
    here: bool = False,
) -> dict[str, Any]:
    """Perform a job's unfinished steps and return its results.

    Ctrl-C ends it cleanly; running it again continues.

    Args:
        job: The job; the experiments of a suite are performed one after the other.
        spec: Its text, kept with the results.
        listeners: Told of every event.
        place: Path of the job file, for `kdray status`.
        command: The command that runs it, for `kdray status`.
        here: Perform all in this process, without Ray: for trial runs; nothing is searched.

    Returns:
        The content of its ``results.json``; of a suite: its tables, see ``kdray.report.compare``.

    Raises:
        KdrayError: A step failed.
        Stopped: The user stopped it.
    """
    experiments = experiments_of(job)
    store = Store(experiments[0].storage.uri)
    with Journal(store, job.name, listeners) as journal:
        plans = plan_jobs(experiments)
        journal.state(spec=place, command=command)
        store.write_json(f"jobs/{job.name}/job.json", job.model_dump(mode="json"))
        steps = {
            step.id: {"id": step.id, "kind": step.kind, "label": step.label, "state": state}
            for plan in plans
            for step, state in states(plan, store)
        }
        journal.event("job_started", steps=list(steps.values()))
        for item in steps.values():
            if item["state"] == "done":
                journal.event("step_skipped", item["id"])
        teller = Teller(journal, [step for plan in plans for step in plan.steps()])
        results = _interruptible(
            lambda: _perform(plans, store, teller, journal, spec, here), journal
        )
        return results[0] if isinstance(job, Experiment) else _conclude(job, store)


def states(plan: Plan, store: Store) -> list[tuple[Step, str]]:
    """Return each step with its state: ``done``, ``started`` or ``waiting``."""
    begun = set(store.list("work"))

    def state(step: Step) -> str:
        if store.result(step.path) is not None:
            return "done"
        return "started" if any(name.split("-")[0] == step.key for name in begun) else "waiting"

    return [(step, state(step)) for step in plan.steps()]


def results_of(suite: Suite, store: Store) -> dict[str | None, dict[str, Any]]:
    """Return the results of a suite's experiments that have some, by their names.

    ``other_settings`` is added to each: the fields in which the job that was run differs from the
    experiment as the suite says it now.
    """
    found: dict[str | None, dict[str, Any]] = {}
    for variant, job in zip(suite.experiments, suite.expanded(), strict=True):
        folder = f"jobs/{job.name}"
        results = store.read_json(f"{folder}/results.json")
        if results is not None:
            ran = store.read_json(f"{folder}/job.json") or {}
            found[variant.name] = {**results, "other_settings": _apart(job, ran)}
    return found


def _apart(job: Experiment, ran: Mapping[str, Any]) -> list[str]:
    """Return the fields of a job that were otherwise when it was run, dotted; not where it lay.

    A job that this version cannot read was run by another ``kdray``.
    """
    try:
        before = Experiment.model_validate(ran)  # fields that are newer have their defaults
    except ValidationError:
        return ["kdray"]
    place = {"storage", "promote", "resources", "description"}
    now, then = (_flat(one.model_dump(mode="json", exclude=place)) for one in (job, before))
    names = sorted(name for name in {*now, *then} if now.get(name) != then.get(name))
    source = "data.source.params."
    own = parts.header("data", job.data.source.name).constants.get("PLACE", ())
    return [name for name in names if name.removeprefix(source) not in own]


def _flat(tree: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of a tree by their dotted paths."""
    if isinstance(tree, Mapping) and tree:
        items = ((str(key), value) for key, value in tree.items())
    elif isinstance(tree, list) and tree:
        items = ((str(index), value) for index, value in enumerate(tree))
    else:
        return {path: tree}
    return {
        name: leaf
        for key, value in items
        for name, leaf in _flat(value, f"{path}.{key}" if path else key).items()
    }


def _weights(job: Experiment) -> dict[str, str]:
    uris = {model.weights for model in (*job.teachers, *job.students)}
    return {uri: weights_hash(uri) for uri in sorted(uris - {"none", "imagenet"})}


def _perform(
    plans: Sequence[Plan],
    store: Store,
    tell: Teller,
    journal: Journal,
    spec: str,
    here: bool,
) -> list[dict[str, Any]]:
    """Perform the missing steps of each plan, in one Ray session, and write its results."""
    results = []
    missing = any(state != "done" for plan in plans for _, state in states(plan, store))
    with _workplace(missing and not here, tell):
        for plan in plans:
            if any(state != "done" for _, state in states(plan, store)):
                _stages(here)(plan, store, tell)
            results.append(_finish(plan, store, journal, spec))
    return results


def _workplace(with_ray: bool, tell: Teller) -> AbstractContextManager[None]:
    if not with_ray:
        return nullcontext()
    prepare_environment()
    # Ray reads the environment on import, takes seconds, and a finished job needs none of it.
    from kdray.run.session import session

    tell({"kind": "note", "text": "starting Ray, about ten seconds"})
    return session()


def _stages(here: bool) -> Callable[[Plan, Store, Teller], None]:
    if here:
        from kdray.run.here import perform_here

        return perform_here
    from kdray.run.stages import perform

    return perform


def _interruptible(
    work: Callable[[], list[dict[str, Any]]], journal: Journal
) -> list[dict[str, Any]]:
    """Return what ``work`` returns in a thread: Ctrl-C reaches this one, not Ray's handlers.

    Raises:
        Stopped: The user pressed Ctrl-C, or the process was asked to end.
    """
    failure: list[BaseException] = []
    found: list[dict[str, Any]] = []
    ended = threading.Event()  # `join` takes a thread for ended once Ctrl-C has come in it

    def body() -> None:
        try:
            found.extend(work())
        except BaseException as error:
            failure.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=body, name="kdray-run", daemon=True)
    try:
        thread.start()
        while not ended.wait(0.2):
            pass
    except KeyboardInterrupt:
        try:
            journal.stop()
        finally:
            _end(thread, ended)
        raise Stopped("", "Stopped.", "Run the same command again to continue.") from None
    if failure:
        raise failure[0]
    return found


def _end(thread: threading.Thread, ended: threading.Event) -> None:
    """End the work as if Ctrl-C had reached its own thread, and then the session.

    In that order: Ray ends a process of which a thread asks for something after the session, with
    an exit code of its own. What does not end in time is left to that.
    """
    stop = ctypes.pythonapi.PyThreadState_SetAsyncExc
    stop(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt))
    ended.wait(_PATIENCE_S)
    ray = sys.modules.get("ray")  # a trial run does not import it
    if ray is not None and ray.is_initialized():
        ray.shutdown()


def _finish(plan: Plan, store: Store, journal: Journal, spec: str) -> dict[str, Any]:
    """Write results and report of an experiment, and return the results."""
    folder = f"jobs/{plan.job.name}"
    results = collect(plan, store, _seconds(journal.events(), plan))
    store.write_json(f"{folder}/job.json", plan.job.model_dump(mode="json"))
    store.write_json(f"{folder}/results.json", results)
    store.write(f"{folder}/report.html", write_report(results, store, spec).encode())
    return results


def _conclude(suite: Suite, store: Store) -> dict[str, Any]:
    """Write the tables and the report of a suite, and return the tables."""
    compared = compare(suite, results_of(suite, store))
    store.write_json(f"jobs/{suite.name}/results.json", compared)
    store.write(f"jobs/{suite.name}/report.html", write_suite_report(compared, store).encode())
    return compared


def _seconds(events: Iterable[Mapping[str, Any]], plan: Plan) -> dict[str, float]:
    """Return the time spent on each kind of step, over all runs of the job."""
    kinds = {step.id: step.kind for step in plan.steps()}
    spent: dict[str, float] = {}
    for event in events:
        if event["kind"] == "step_finished" and event.get("step") in kinds:
            kind = kinds[event["step"]]
            spent[kind] = spent.get(kind, 0.0) + float(event.get("seconds") or 0)
    return {kind: round(value, 1) for kind, value in spent.items()}
