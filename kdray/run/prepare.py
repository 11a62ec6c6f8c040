"""Images of a source to one memory-mapped data set in the storage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kdray.data import prepare
from kdray.plan import Plan
from kdray.spec.experiment import Data
from kdray.store import Store

Tell = Callable[[dict[str, Any]], None]


def run_prepare(plan: Plan, store: Store, tell: Tell) -> dict[str, Any]:
    """Prepare the job's data set unless it is there, and return what it holds."""
    if store.result(plan.prepare.path) is None:
        prepare_into(plan.job.data, store.uri, plan.prepare.path, plan.prepare.id, tell)
    return store.finished(plan.prepare.path)


def prepare_into(data: Data, uri: str, path: str, step: str, tell: Tell) -> None:
    """Prepare a data set into a folder of a storage, whole.

    Args:
        data: The data section of the job.
        uri: The storage.
        path: The folder's name in it.
        step: Id of the step, for events.
        tell: Takes events, about one a second.
    """
    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told > 1 or done == total:
            told = now
            tell(
                {"kind": "progress", "step": step, "done": done, "total": total, "unit": "images"}
            )

    result: dict[str, Any] = {}
    with Store(uri).publish(path, result) as folder:
        result.update(prepare(data, folder, progress))
