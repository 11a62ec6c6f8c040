"""Training runs of one process each: as many at once as the nodes have room for."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from kdray.errors import StoreError
from kdray.learn import World
from kdray.run import training
from kdray.run.keepers import RayKeepers
from kdray.run.relay import Relay
from kdray.run.session import limit_memory, up
from kdray.run.shares import Share, solo_on
from kdray.run.training import Assignment
from kdray.spec.experiment import Resources
from kdray.store import Store


def run_solo(work: Sequence[Assignment], store: Store, relay: Relay, resources: Resources) -> None:
    """Train all assignments that have no result yet, each in one process.

    Not on Ray Train: its workers and their controller take longer to start than many a student
    takes to train. A process that dies is replaced; its run continues from the last checkpoint.

    Args:
        work: The training runs.
        store: The storage.
        relay: Takes the events.
        resources: What a process gets, and how many deaths of processes a run survives.

    Raises:
        RunError: A run failed, or its processes died too often.
    """
    share, most = solo_on(up(), resources, len(work))
    deaths = resources.max_failures
    calls = [(item, store.uri, relay, share, deaths) for item in work]
    with RayKeepers(share, most, tries=deaths) as keepers:
        for _ in keepers.each(_fit, calls):
            pass


def _fit(work: Assignment, uri: str, relay: Relay, share: Share, tries: int) -> None:
    torch.set_num_threads(share.threads)
    limit_memory(share.device, share.gpus)
    store, world = Store(uri), World(device=share.device)
    while True:
        try:
            return training.run_whole(work, store, world, relay)
        except StoreError as error:  # the storage may answer again: go on from the checkpoint
            if not tries:
                raise training.failure(work, error) from error
            tries -= 1
        except Exception as error:
            raise training.failure(work, error) from error
