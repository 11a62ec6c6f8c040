"""Sending a job to a place, writing down where it went, and waiting for its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from kdray.errors import LaunchError, RunError, StoreError
from kdray.launch import targets
from kdray.launch.found import Found, kept
from kdray.launch.here import Here
from kdray.launch.place import Order, Place, Sent, Sighting
from kdray.launch.record import Launch, launched, read_launch, storage_seen, write_launch
from kdray.run.journal import read_state
from kdray.spec import Target
from kdray.store import Store

#: How often a job is looked at while one waits for it, seconds.
LOOK_S = 2.0


@dataclass(frozen=True)
class Submission:
    """A job that was sent, or found running.

    Args:
        sent: What became of the order.
        found: The job, to be looked at again.
    """

    sent: Sent
    found: Found


def send(order: Order, target: Target, new: bool = False) -> Submission:
    """Send a job to a target, or find it running there, and write down where it is.

    Args:
        order: The job.
        target: Where to.
        new: Send it even if it runs already.

    Raises:
        LaunchError: The place does not answer or refuses.
        RunError: The job runs already, elsewhere or from another version of its file.
        StoreError: The storage of a job on this machine cannot be written.
    """
    place = targets.open_place(target)
    store, notes = _storage(order, target)
    going = _going(store, order, new)
    if going is not None and not new:
        _check_same(going, order, place)
    if isinstance(place, Here):
        place = Here(place.place, order.storage)
        sent = place.submit(order, new)
        return Submission(sent, _found_here(place, sent, order))
    before = _state(store, order)
    sent = place.submit(order, new)
    # A job that was stopped and is sent again may have its id once more.
    same = sent.attached and before is not None and before.get("launch") == sent.seen.id
    begun = None if before is None or same else before.get("started")
    launch = launched(targets.pinned(target, place), order, (sent.seen.id, place.where), begun)
    if going is not None and new and not sent.attached:
        notes.append(_told_beside(going, launch))
    else:
        notes += _written(store, launch, sent.attached)
        notes += _told_before(before) if not sent.attached else []
    sent = replace(sent, notes=(*sent.notes, *notes))
    found = Found(
        order.job, sent.seen.id, place, order.storage, store, seen=sent.seen, launch=launch
    )
    return Submission(sent, found)


def wait(submission: Submission, sleep: Callable[[float], None] = time.sleep) -> Iterator[Found]:
    """Yield a job as it is, again and again; the last time when it is over.

    A service counts as over when it serves.

    Args:
        submission: The job.
        sleep: Waits so many seconds.
    """
    found = submission.found
    if isinstance(found.place, Here):
        yield replace(found, seen=found.place.wait(submission.sent))
        return
    is_service = found.launch is not None and found.launch.order.kind == "Service"
    while True:
        found = found.again()
        yield found
        if found.is_over or (is_service and found.state == "running"):
            return
        sleep(LOOK_S)


def exit_code(state: str, seen: Sighting | None) -> int:
    """Return the exit code that says how a job ended: 0, 130 (stopped), 2 (wrong file), or 1."""
    if state in ("finished", "stopped"):
        return {"finished": 0, "stopped": 130}[state]
    return 2 if seen is not None and seen.exit_code == 2 else 1


def _storage(order: Order, target: Target) -> tuple[Store | None, list[str]]:
    """Return the storage if this machine sees it, and what to tell if it does not."""
    store = storage_seen(order.storage, target)
    if store is None:
        note = f"{order.storage} is not seen from this machine: name the place with --to."
        return None, [note]
    try:
        store.read_json(f"jobs/{order.job}/launch.json")
    except StoreError as error:
        if store.is_local:
            raise
        return None, [f"The storage cannot be read from this machine: {error}"]
    return store, []


def _going(store: Store | None, order: Order, new: bool) -> Found | None:
    """Return the job of that name that is not over yet; of services a changed one replaces it."""
    if store is None or order.kind == "Service":
        return None
    try:
        found = kept(store, order.job, order.storage, order.kind)
    except LaunchError as error:
        if new:
            return None
        remedy = f"{error.remedy} Sent there before; --new sends it all the same.".strip()
        raise LaunchError(error.where, error.problem, remedy) from None
    return None if found is None or found.is_over else found


def _check_same(found: Found, order: Order, place: Place) -> None:
    """Refuse a job that runs already at another place, or there from another job file."""
    launch = found.launch
    if launch is None:
        if not found.is_here or isinstance(place, Here):
            return
        who = f"process {(found.journal or {}).get('pid')} on {(found.journal or {}).get('host')}"
    elif launch.where == place.where and launch.id.startswith(order.id):
        return
    else:
        is_there = launch.where == place.where
        as_id = f"{launch.id} at {launch.where}"
        who = f"{as_id}, from another version of the job file" if is_there else as_id
    raise RunError(
        order.job,
        f"already runs as {who}.",
        f"Follow it: `kdray logs -f {order.job} --storage {order.storage}`; end it: `kdray stop "
        f"{order.job} --storage {order.storage}`.",
    )


def _state(store: Store | None, order: Order) -> dict[str, Any] | None:
    return None if store is None or order.kind == "Service" else read_state(store, order.job)


def _written(store: Store | None, launch: Launch, attached: bool) -> list[str]:
    """Write a launch down where it can be, and return what to tell where it cannot."""
    if store is None:
        return []
    try:
        known = read_launch(store, launch.order.job, launch.order.kind)
        if not (attached and known is not None and known.id == launch.id):
            write_launch(store, launch)
    except StoreError as error:
        return [f"Where it runs could not be written down, so name it with --to. {error}"]
    return []


def _told_beside(going: Found, launch: Launch) -> str:
    """Return what is to be known of a job that was sent while one of its name runs."""
    return (
        f"The run before it goes on, and {going.job!r} stands for that one: name this one by its "
        f"id, {launch.id}, and --to."
    )


def _told_before(before: dict[str, Any] | None) -> list[str]:
    """Return what an earlier run means for this one."""
    state = (before or {}).get("state")
    if state in ("failed", "stopped", "lost"):
        return [f"An earlier run {_ENDED[str(state)]}; this one goes on from what it has kept."]
    if state == "finished":
        return ["An earlier run has finished; what is done is passed over."]
    return []


_ENDED = {"failed": "has failed", "stopped": "was stopped", "lost": "has lost its driver"}


def _found_here(place: Here, sent: Sent, order: Order) -> Found:
    store = Store(order.storage)
    return Found(order.job, order.job, place, order.storage, store, seen=sent.seen)
