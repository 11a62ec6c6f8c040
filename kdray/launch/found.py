"""A job that a user asks for, as its storage and the place where it runs show it."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdray.errors import JobError, LaunchError, StoreError
from kdray.launch import targets
from kdray.launch.here import Here
from kdray.launch.order import make_order
from kdray.launch.place import OVER, Order, Place, Sighting, State
from kdray.launch.record import Launch, launches, read_launch, storage_seen
from kdray.plan.read import experiments_of, read_job
from kdray.run.journal import read_state
from kdray.spec import Service, Target
from kdray.spec.target import Local
from kdray.store import Store

#: The storage where nothing names another.
STORAGE = "runs"


@dataclass(frozen=True)
class Found:
    """A job and where it is.

    Args:
        job: Its name.
        id: Its id at the place.
        place: Where it runs or ran.
        uri: URI of its storage; empty: unknown.
        store: The storage, or None where this machine does not see it.
        journal: Its ``state.json``, or None where that says nothing of this run.
        seen: The job as the place shows it, or None where it was not asked or does not know it.
        launch: What was sent; None: it was started here, or nothing is written of it.
        notes: What could not be asked, a sentence each.
    """

    job: str
    id: str
    place: Place
    uri: str
    store: Store | None
    journal: dict[str, Any] | None = None
    seen: Sighting | None = None
    launch: Launch | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether it was started on this machine, or at least not through a place."""
        return isinstance(self.place, Here)

    @property
    def where(self) -> str:
        """The place in words."""
        return self.launch.where if self.launch is not None else self.place.where

    @property
    def state(self) -> State:
        """Its state, by all that is known."""
        return merged(self.journal, self.seen)[0]

    @property
    def reason(self) -> str:
        """Why it waits or failed."""
        return merged(self.journal, self.seen)[1]

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in OVER

    def again(self) -> Found:
        """Return the job as it is now."""
        return _looked(replace(self, notes=()))


def find(
    name: str,
    to: str | None = None,
    storage: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Found:
    """Return the job that ``JOB|SPEC|ID`` means.

    Args:
        name: A job's name, the path of its file, or its id at a place.
        to: The target; None: ``KDRAY_TARGET``, unless a storage is given; else what the launch
            that is written in the storage says, or this machine.
        storage: URI of the storage; None: the target's, the file's, or ``runs``.
        env: The environment; None: the process's.

    Raises:
        JobError: There is no such job, or a file has problems.
        LaunchError: The place does not answer, and the storage knows nothing of the job.
        StoreError: The storage cannot be read, and no place was named.
    """
    target = asked_target(to, storage, env)
    if target is None or isinstance(target.place, Local):
        return _looked(_named(name, storage or (target.storage if target else None)))
    return _looked(_sent(name, target, storage, to))


def asked_target(
    to: str | None, storage: str | None, env: Mapping[str, str] | None = None
) -> Target | None:
    """Return the target that the user names, by ``--to`` or ``KDRAY_TARGET``; None: none.

    With a storage but no ``--to`` the launches in that storage decide.
    """
    env = os.environ if env is None else env
    if to is None and (storage is not None or not env.get(targets.DEFAULT)):
        return None
    return targets.find_target(to, env)


def is_file(name: str) -> bool:
    """Return whether ``JOB|SPEC`` names a file: it ends like one, or is there."""
    return name.endswith((".yaml", ".yml")) or Path(name).is_file()


def resolve(name: str, storage: str | None = None, target: Target | None = None) -> Order | None:
    """Return the order that a job file makes for a target, or None where ``name`` is no file.

    Raises:
        JobErrors: The file has problems.
    """
    if not is_file(name):
        return None
    job = read_job(name)
    uri = job.storage if isinstance(job, Service) else experiments_of(job)[0].storage.uri
    if target is not None and not isinstance(target.place, Local):
        try:
            order = make_order(name, (), target)
            return replace(order, storage=storage or order.storage)
        except JobError:
            uri = ""  # it can only have been sent with `--set`: by its name it is found there
    return Order(job.name, job.kind, job.name, "", name, storage or uri)


def merged(journal: Mapping[str, Any] | None, seen: Sighting | None) -> tuple[State, str]:
    """Return state and reason of a job, by what its driver wrote and what the place shows.

    The driver knows best how it ended; the place knows of a driver that was killed, and of one
    that is still to come.

    Args:
        journal: The job's state, of this run; None: the driver has not written anything.
        seen: The job at the place; None: not known there.
    """
    if journal is not None and (seen is None or _is_last_word(journal, seen)):
        reason = str(journal.get("error") or (seen.reason if seen else ""))
        return journal["state"], reason
    if seen is not None:
        return seen.state, seen.reason
    return "lost", "The place does not know it any more, and it has written nothing."


def _is_last_word(journal: Mapping[str, Any], seen: Sighting) -> bool:
    """Return whether the driver's own words count: the place may be about to try again."""
    if journal["state"] == "finished":
        return True
    return journal["state"] in ("failed", "stopped") and seen.state in OVER


def kept(store: Store, job: str, uri: str, kind: str = "") -> Found | None:
    """Return a job by what its storage holds, as it is now, or None where that knows none.

    Args:
        store: The storage.
        job: Name of the job.
        uri: URI of the storage, as the user wrote it.
        kind: Its kind; empty: any, work before services.
    """
    found = unasked(store, job, uri, kind)
    return None if found is None else _looked(found)


def unasked(store: Store, job: str, uri: str, kind: str = "") -> Found | None:
    """Return a job by what its storage holds, without asking the place; see ``kept``."""
    found = None
    if kind != "Service":
        launch = read_launch(store, job, "Experiment")
        found = _of_launch(store, uri, launch) if launch else None
        found = found or _of_journal(store, uri, job, kind)
    if found is not None or kind not in ("", "Service"):
        return found
    launch = read_launch(store, job, "Service")
    return _of_launch(store, uri, launch) if launch else None


def job_of(store: Store, name: str) -> str:
    """Return the name of the job that a name or an id stands for in a storage.

    Args:
        store: The storage.
        name: A job's name, or the id under which it was sent; anything else is returned as it is.
    """
    id = _ID.fullmatch(name)
    if id is None or store.exists(f"jobs/{name}"):
        return name
    found = (one.order.job for one in launches(store) if one.order.id == id[1])
    return next(found, name)


#: An id: that of an order, and the number of a further try.
_ID = re.compile(r"([a-z0-9-]+-[0-9a-f]{8})(-[0-9]+)?")


def _named(name: str, storage: str | None) -> Found:
    """Return a job by its name or file; the place is the one of its last launch."""
    order = resolve(name, storage)
    job, uri = (order.job, order.storage) if order else (name, storage or STORAGE)
    store = Store(uri)
    kind = order.kind if order else ""
    found = unasked(store, job, uri, kind) if is_name(job) else None
    launch = None if found is not None else _by_id(store, job)
    found = _of_launch(store, uri, launch) if launch is not None else found
    if found is not None:
        return found
    raise JobError(name, f"no job {job!r} was started in {uri!r}.", _remedy(store, job, uri))


def _by_id(store: Store, id: str) -> Launch | None:
    """Return the launch with an id; only ids are long enough to end in a hash."""
    word, dash, code = id.rpartition("-")
    if not (word and dash and code.isalnum()):
        return None
    return next((launch for launch in launches(store) if launch.id == id), None)


def _of_launch(store: Store, uri: str, launch: Launch) -> Found | None:
    """Return a launched job, or None where it has been run by other means since."""
    state = _state(store, launch)
    by = str((state or {}).get("launch") or "")
    if _has_begun(state, launch) and by != launch.id:
        if not by.startswith(f"{launch.order.id}-"):
            return None
        launch = replace(launch, id=by)  # sent once more by `--new`, and its turn now
    place = targets.open_place(launch.target)
    journal = state if _has_begun(state, launch) else None
    return Found(launch.order.job, launch.id, place, uri, store, journal, launch=launch)


def _of_journal(store: Store, uri: str, job: str, kind: str) -> Found | None:
    journal = None if kind == "Service" else read_state(store, job)
    if journal is None:
        return None
    return Found(job, job, Here(Local(kind="local"), uri), uri, store, journal)


def _state(store: Store, launch: Launch) -> dict[str, Any] | None:
    return None if launch.order.kind == "Service" else read_state(store, launch.order.job)


def _has_begun(state: Mapping[str, Any] | None, launch: Launch) -> bool:
    """Return whether a state is of a run that began after a job was sent."""
    return state is not None and state.get("started") != launch.before


def _sent(name: str, target: Target, storage: str | None, to: str | None) -> Found:
    """Return a job at a place that the user named."""
    place = targets.open_place(target)
    order = resolve(name, storage, target)
    job, uri = (order.job, order.storage) if order else (name, storage or target.storage or "")
    store = storage_seen(uri, target)
    kind = order.kind if order else ""
    notes: list[str] = []
    found = None
    if store is not None and is_name(job):
        try:
            found = _written(store, uri, job, place, kind)
        except StoreError as error:
            notes.append(str(error))
            store = None
    if found is None:
        found = _there(place, target, job, order)
    if found is None and store is not None and is_name(job):
        found = _of_journal(store, uri, job, kind)
    if found is None:
        raise _unknown(name, place, to)
    return replace(found, notes=(*notes, *found.notes))


def _written(store: Store, uri: str, job: str, place: Place, kind: str) -> Found | None:
    """Return the job whose launch at this place is written in the storage."""
    launch = read_launch(store, job, kind) or _by_id(store, job)
    if launch is None or launch.where != place.where:
        return None
    found = _of_launch(store, uri, launch)
    return None if found is None else replace(found, place=place)  # as the target says it now


def _there(place: Place, target: Target, job: str, order: Order | None) -> Found | None:
    """Return the job as the place lists it: by its id, or the latest of its name or file."""
    named = [seen for seen in place.jobs() if job in (seen.id, seen.job) and _fits(seen, order)]
    # Stable: the latest stays first of those that are alike.
    same = sorted(named, key=lambda seen: _strangeness(seen, job, order))
    if not same:
        return None
    seen = same[0]
    uri = seen.storage or (order.storage if order else target.storage or "")
    return Found(seen.job, seen.id, place, uri, storage_seen(uri, target), seen=seen)


def _strangeness(seen: Sighting, job: str, order: Order | None) -> tuple[bool, bool, bool]:
    """Return how far a job is from what was asked for: work before services, id before file."""
    is_of_file = order is not None and seen.id.startswith(order.id)
    return (seen.kind == "Service", seen.id != job, not is_of_file)


def _fits(seen: Sighting, order: Order | None) -> bool:
    if order is None or not seen.kind:
        return True
    return (seen.kind == "Service") == (order.kind == "Service")


def _looked(found: Found) -> Found:
    """Return a job with what storage and place say now; the place is asked if it may know more."""
    found = _read(found)
    if found.is_here or (found.journal or {}).get("state") == "finished":
        return found
    try:
        found = replace(found, seen=found.place.look(found.id))
    except LaunchError as error:
        if found.journal is None and found.seen is None:
            raise
        return replace(found, notes=(*found.notes, str(error)))
    ended = found.seen is not None and found.seen.state in OVER
    # Once more: its last words may have been written between the two questions.
    return _read(found) if ended else found


def _read(found: Found) -> Found:
    """Return a job with what its driver has written by now."""
    try:
        return replace(found, journal=_now(found))
    except StoreError as error:
        return replace(found, notes=tuple(dict.fromkeys((*found.notes, str(error)))))


def _now(found: Found) -> dict[str, Any] | None:
    if found.store is None:
        return None
    if found.launch is not None:
        state = _state(found.store, found.launch)
        is_of_it = state is not None and state.get("launch", found.id) == found.id
        return state if is_of_it and _has_begun(state, found.launch) else None
    journal = None if _is_service(found) else read_state(found.store, found.job)
    if found.is_here or journal is None:
        return journal
    return journal if journal.get("launch") == found.id else None


def _is_service(found: Found) -> bool:
    return found.seen is not None and found.seen.kind == "Service"


def is_name(job: str) -> bool:
    """Return whether a text can be the name of a job."""
    return bool(job) and "/" not in job and not job.startswith(".")


def _unknown(name: str, place: Place, to: str | None) -> JobError:
    close = close_to(name, [word for seen in place.jobs() for word in (seen.job, seen.id)])
    all_of_them = f"kdray jobs --to {shlex.quote(to)}" if to else "kdray jobs"
    return JobError(name, f"{place.where} knows no such job.", close or f"See `{all_of_them}`.")


def _remedy(store: Store, job: str, uri: str) -> str:
    close = close_to(job, store.list("jobs"))
    shown = "" if uri == STORAGE else f" --storage {uri}"
    return close or (
        f"See `kdray jobs{shown}`; --storage names another storage, --to a place it was sent to."
    )


def close_to(name: str, names: Sequence[str]) -> str:
    """Return ``Did you mean ...?`` for the nearest name, or nothing where none is near."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {close[0]!r}?" if close else ""
