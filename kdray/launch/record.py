"""What was sent where, kept with a job's results, so that every machine finds the job again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdray.launch.place import Order
from kdray.spec import Target
from kdray.spec.target import Local
from kdray.store import Store


@dataclass(frozen=True)
class Launch:
    """A job that was sent to a cluster.

    Args:
        target: Where to.
        id: Its id there.
        where: The place in words.
        sent: When, Unix seconds.
        order: What was sent.
        before: When the run before it had begun, by the job's state; None: there was none.
    """

    target: Target
    id: str
    where: str
    sent: float
    order: Order
    before: float | None = None


def write_launch(store: Store, launch: Launch) -> None:
    """Write a launch down in the job's storage.

    Raises:
        StoreError: The storage refuses.
    """
    record = {**asdict(launch), "target": launch.target.model_dump(mode="json")}
    store.write_json(_name(launch.order.kind, launch.order.job), record)


def read_launch(store: Store, job: str, kind: str = "") -> Launch | None:
    """Return where a job was last sent to, or None where it never was.

    Args:
        store: The job's storage.
        job: Its name.
        kind: Its kind; empty: any, work before services.
    """
    kinds = (kind,) if kind else ("Experiment", "Service")
    found = (store.read_json(_name(one, job)) for one in kinds)
    return next((_launch(record) for record in found if record is not None), None)


def launches(store: Store) -> Iterator[Launch]:
    """Yield the launches of a storage."""
    for folder, kind in (("jobs", "Experiment"), ("services", "Service")):
        for job in store.list(folder):
            launch = read_launch(store, job, kind)
            if launch is not None:
                yield launch


def storage_seen(uri: str, target: Target) -> Store | None:
    """Return a target's storage as this machine sees it, or None where it does not.

    A folder of a cluster's nodes is that of this machine only if it is there: none is made.

    Args:
        uri: URI of the storage; empty: unknown.
        target: The place whose jobs use it.
    """
    if not uri:
        return None
    store = Store(uri)
    is_elsewhere = store.is_local and not isinstance(target.place, Local)
    return None if is_elsewhere and not Path(store.root).is_dir() else store


def launched(target: Target, order: Order, facts: tuple[str, str], before: float | None) -> Launch:
    """Return the launch of an order that has just been sent.

    Args:
        target: Where to.
        order: What.
        facts: Its id there, and the place in words.
        before: See ``Launch``.
    """
    return Launch(target, *facts, sent=round(time.time(), 3), order=order, before=before)


def _name(kind: str, job: str) -> str:
    return f"{'services' if kind == 'Service' else 'jobs'}/{job}/launch.json"


def _launch(record: dict[str, Any]) -> Launch:
    order = {**record["order"], "sets": tuple(record["order"].get("sets") or ())}
    target = Target.model_validate(record["target"])
    return Launch(**{**record, "target": target, "order": Order(**order)})
