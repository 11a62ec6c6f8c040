"""Training runs of several processes, on Ray Train: one group takes them one after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import ray.train

from kdray.errors import Diverged, KdrayError, RunError, StoreError
from kdray.learn import World
from kdray.run import training
from kdray.run.group import Group, join, reason
from kdray.run.relay import Relay
from kdray.run.shares import Share
from kdray.run.training import Assignment
from kdray.store import Store


def run_fits(  # noqa: PLR0913 - each is a fact that only the caller knows
    work: Sequence[Assignment],
    store: Store,
    relay: Relay,
    share: Share,
    workers: int,
    max_failures: int,
    scratch: str = "work/ray",
) -> None:
    """Train all assignments that have no result yet, in order, in one worker group.

    A worker that dies is replaced; its run continues from the last checkpoint. A group that is
    started again passes over the finished runs.

    Args:
        work: The training runs.
        store: The storage.
        relay: Takes the workers' events.
        share: What each worker gets.
        workers: Processes that share each run.
        max_failures: Deaths of workers that are survived.
        scratch: Folder in the storage for Ray's own files, of this driver alone; removed.

    Raises:
        RunError: A run failed for a reason that another try would not mend, or too many deaths.
    """
    for item in work:
        store.delete(_failure(item))  # of an earlier driver, which was killed before it told
    group = Group(store, relay, share, workers, max_failures, scratch)
    try:
        group.fit(_worker, tries=max_failures + 1, work=list(work))
    except ray.train.TrainingFailedError as error:
        _raise_told(work, store)
        times = f"the workers failed {max_failures + 1} times"
        raise RunError(work[0].step, f"{times}, at last: {reason(error)}") from error
    _raise_told(work, store)
    for item in work:
        if store.result(item.path) is None:
            raise RunError(item.label, "ended without a result.", "Run the same command again.")


def _worker(config: dict[str, Any]) -> None:
    world = join(config)
    store, relay = Store(config["store"]), config["relay"]
    if world.share(_is_told(config["work"], store) if world.leads else None):
        return  # this group was started again after an error that would only come again
    for work in config["work"]:
        if not _trained(work, store, world, relay):
            return
    ray.train.report({"runs": len(config["work"])})


def _trained(work: Assignment, store: Store, world: World, relay: Relay) -> bool:
    """Train a run unless it is finished, and return whether the next one can follow."""
    if world.share(store.result(work.path) is not None if world.leads else None):
        return True
    if world.leads:
        relay({"kind": "run_started", "step": work.step, "run": work.label, "pid": os.getpid()})
    try:
        net, fitted = training.run(work, store, world, relay)
    except StoreError:
        raise  # the storage may answer again: another try goes on from the checkpoint
    except Exception as error:
        _give_up(work, store, world, error)
        return False
    if world.leads:
        training.publish(work, store, net, fitted)
        relay({"kind": "run_finished", "step": work.step, "run": work.label})
    return True


def _give_up(work: Assignment, store: Store, world: World, error: Exception) -> None:
    """Say why a run cannot go on, and raise it where the other workers do not know."""
    alike = world.size == 1 or isinstance(error, Diverged)
    if not alike and not isinstance(error, KdrayError):
        raise error  # it may be the echo of another worker's death
    if world.leads or not alike:
        _tell_failure(work, store, error)
    if not alike:
        raise error  # the others may be waiting for this one: Ray ends them


def _failure(work: Assignment) -> str:
    """Return the name of the file in which a worker says why a run cannot go on."""
    return f"work/{work.key}/error.json"


def _tell_failure(work: Assignment, store: Store, error: Exception) -> None:
    told = training.failure(work, error)
    store.write_json(_failure(work), [told.where, told.problem, told.remedy])


def _is_told(work: Sequence[Assignment], store: Store) -> bool:
    return any(store.exists(_failure(item)) for item in work)


def _raise_told(work: Sequence[Assignment], store: Store) -> None:
    """Raise what a worker said of a run that cannot go on, if one did."""
    for item in work:
        told = store.read_json(_failure(item))
        if told is not None:
            store.delete(_failure(item))
            raise RunError(*told)
