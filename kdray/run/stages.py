"""The stages of a job on Ray, in order; each passes over what is finished."""

from __future__ import annotations

from kdray.plan import Plan
from kdray.run import assign
from kdray.run.board import Board
from kdray.run.conclude import conclude
from kdray.run.keepers import keepers_of
from kdray.run.prepare import prepare_into
from kdray.run.record import run_records
from kdray.run.relay import Relay, relay
from kdray.run.search import run_search
from kdray.run.searching import searching
from kdray.run.session import RayWorkers, session, share_of, up
from kdray.run.shares import Share, room_on
from kdray.run.solo import run_solo
from kdray.run.tell import Teller
from kdray.run.training import Assignment
from kdray.store import Store


def perform(plan: Plan, store: Store, tell: Teller) -> None:
    """Perform a job's unfinished steps, all in one Ray session.

    Args:
        plan: The job's plan.
        store: The storage.
        tell: Takes events.
    """
    with session(), relay(tell) as post:
        _until_searched(plan, store, tell, post)
        _train(assign.distilling(plan, store), plan, store, post)
        conclude(plan, store, tell, RayWorkers(share_of(plan.job.resources, 1)))


def perform_search(plan: Plan, store: Store, tell: Teller) -> None:
    """Perform a job's unfinished steps up to its search, and no others."""
    with session(), relay(tell) as post:
        _until_searched(plan, store, tell, post)


def _until_searched(plan: Plan, store: Store, tell: Teller, post: Relay) -> None:
    if store.result(plan.prepare.path) is None:
        with tell.step(plan.prepare.id):
            given = (plan.job.data, store.uri, plan.prepare.path, plan.prepare.id, post)
            RayWorkers(Share(1, 0)).one(prepare_into, *given)
    _train(assign.pretraining(plan), plan, store, post)
    with keepers_of(plan.job.resources) as keepers:
        run_records(plan, store, keepers, tell)
    _search(plan, store, tell, post)


def _train(work: list[Assignment], plan: Plan, store: Store, post: Relay) -> None:
    missing = [item for item in work if store.result(item.path) is None]
    resources = plan.job.resources
    if missing and resources.workers == 1:
        run_solo(missing, store, post, resources)
    elif missing:
        from kdray.run.fits import run_fits  # Ray Train takes seconds to import

        share = share_of(resources, resources.workers)
        deaths = resources.max_failures
        run_fits(missing, store, post, share, resources.workers, deaths, _scratch(plan))


def _search(plan: Plan, store: Store, tell: Teller, post: Relay) -> None:
    work = searching(plan, store, RayWorkers(Share(1, 0)))
    if work is None:
        return
    board, resources, search = Board(work, store, tell), plan.job.resources, plan.job.search
    deaths = resources.max_failures
    if search.workers > 1:
        from kdray.run.group import Group
        from kdray.run.group_search import run_group_search

        share = share_of(resources, search.workers)
        run_group_search(board, Group(store, post, share, search.workers, deaths, _scratch(plan)))
    else:
        trials = sum(arm.trials for arm in work.arms)
        concurrent = search.concurrent or min(room_on(up(), resources), trials)
        share = share_of(resources, concurrent)
        run_search(board, store, post, share, concurrent, deaths, _scratch(plan))


def _scratch(plan: Plan) -> str:
    """Return the folder of Ray's own files: the job's, for jobs may share a storage."""
    return f"work/ray-{plan.job.name}"
