"""What follows the training: measuring, explaining, promoting."""

from __future__ import annotations

from kdray.plan import Plan
from kdray.run.evaluate import run_evaluate
from kdray.run.explain import run_explain
from kdray.run.promote import run_promote
from kdray.run.tell import Teller
from kdray.run.workers import Workers
from kdray.store import Store


def conclude(plan: Plan, store: Store, tell: Teller, workers: Workers) -> None:
    """Perform the steps after the training that have no result yet.

    Args:
        plan: The job's plan; all its models are trained.
        store: The storage.
        tell: Takes events.
        workers: They do the work.
    """
    if store.result(plan.evaluate.path) is None:
        with tell.step(plan.evaluate.id):
            run_evaluate(plan, store, workers, tell)
    if store.result(plan.explain.path) is None:
        with tell.step(plan.explain.id):
            run_explain(plan, store, workers, tell)
    if store.result(plan.promote.path) is None:
        with tell.step(plan.promote.id):
            run_promote(plan, store, tell)
