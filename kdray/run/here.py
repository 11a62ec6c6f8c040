"""The stages of a job in this process, without Ray: for trial runs of a few images."""

from __future__ import annotations

from kdray.errors import RunError
from kdray.learn import World
from kdray.plan import Plan
from kdray.run import assign, training
from kdray.run.conclude import conclude
from kdray.run.prepare import run_prepare
from kdray.run.record import run_records
from kdray.run.tell import Teller
from kdray.run.workers import Here
from kdray.store import Store


def perform_here(plan: Plan, store: Store, tell: Teller) -> None:
    """Perform a job's unfinished steps, one after the other.

    Args:
        plan: The job's plan; without searches.
        store: The storage.
        tell: Takes events.

    Raises:
        RunError: The plan has searches.
    """
    if plan.search is not None:
        raise RunError("search", "a trial run searches nothing.", "Set search.trials to 0.")
    if store.result(plan.prepare.path) is None:
        with tell.step(plan.prepare.id):
            run_prepare(plan, store, tell)
    workers = Here()
    for work in assign.pretraining(plan):
        training.run_whole(work, store, World(), tell)
    run_records(plan, store, workers, tell)
    for work in assign.distilling(plan, store):
        training.run_whole(work, store, World(), tell)
    conclude(plan, store, tell, workers)
