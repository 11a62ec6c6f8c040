"""The jobs of a storage, or of a place, as both show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from kdray.errors import LaunchError, StoreError
from kdray.launch import targets
from kdray.launch.found import STORAGE, Found, asked_target, unasked
from kdray.launch.place import Place, Sighting
from kdray.launch.record import storage_seen
from kdray.run.journal import read_state
from kdray.spec import Target
from kdray.spec.target import Local
from kdray.store import Store


@dataclass(frozen=True)
class Listing:
    """Jobs, the latest first.

    Args:
        jobs: The jobs.
        where: The storage or place that was looked at.
        notes: What could not be asked, a sentence each.
    """

    jobs: tuple[Found, ...]
    where: str
    notes: tuple[str, ...] = ()


def list_found(
    to: str | None = None, storage: str | None = None, env: Mapping[str, str] | None = None
) -> Listing:
    """Return the jobs of a target, or of a storage.

    Args:
        to: The target; None: see ``kdray.launch.found.find``.
        storage: URI of the storage.
        env: The environment; None: the process's.

    Raises:
        JobError: There is no such target.
        LaunchError: The place does not answer.
        StoreError: The storage cannot be read.
    """
    target = asked_target(to, storage, env)
    if target is not None and not isinstance(target.place, Local):
        place = targets.open_place(target)
        jobs = list(_at(place, target))
        return Listing(_latest_first(jobs), place.where)
    uri = storage or (target.storage if target else None) or STORAGE
    jobs, notes = _asked(list(_in(Store(uri), uri)))
    return Listing(_latest_first(jobs), uri, tuple(notes))


def started(found: Found) -> float:
    """Return when a job began, or was sent, Unix seconds; 0: unknown."""
    if found.journal is not None:
        return float(found.journal.get("started") or 0)
    seen = found.seen
    sent = (seen.started or seen.created) if seen is not None else None
    return sent or (found.launch.sent if found.launch is not None else 0.0)


def _at(place: Place, target: Target) -> Iterator[Found]:
    """Yield the jobs of a place, with what their drivers have written where that can be read."""
    stores: dict[str, Store | None] = {}
    for seen in place.jobs():
        uri = seen.storage or target.storage or ""
        if uri not in stores:
            stores[uri] = storage_seen(uri, target)
        found = Found(seen.job, seen.id, place, uri, stores[uri], seen=seen)
        try:
            yield replace(found, journal=_state(found, seen))
        except StoreError:
            stores[uri] = None  # no use in asking for each of its jobs
            yield replace(found, store=None)


def _state(found: Found, seen: Sighting) -> dict[str, object] | None:
    if found.store is None or seen.kind == "Service":
        return None
    state = read_state(found.store, found.job)
    return state if state is not None and state.get("launch") == found.id else None


def _in(store: Store, uri: str) -> Iterator[Found]:
    """Yield the jobs of a storage, without asking the places where they run."""
    for job in store.list("jobs"):
        found = unasked(store, job, uri, "Experiment")
        if found is not None:
            yield found
    for service in store.list("services"):
        found = unasked(store, service, uri, "Service")
        if found is not None:
            yield found


def _asked(jobs: list[Found]) -> tuple[list[Found], list[str]]:
    """Return the jobs as their places show them; each place is asked once."""
    asked: dict[str, dict[str, Sighting]] = {}
    notes: list[str] = []
    shown: list[Found] = []
    for found in jobs:
        if found.is_here or (found.journal or {}).get("state") == "finished":
            shown.append(found)
            continue
        where = found.where
        if where not in asked:
            asked[where], said = _sightings(found.place)
            notes += said
        shown.append(replace(found, seen=asked[where].get(found.id)))
    return shown, notes


def _sightings(place: Place) -> tuple[dict[str, Sighting], list[str]]:
    try:
        return {seen.id: seen for seen in place.jobs()}, []
    except LaunchError as error:
        return {}, [str(error)]


def _latest_first(jobs: list[Found]) -> tuple[Found, ...]:
    return tuple(sorted(jobs, key=lambda found: -started(found)))
