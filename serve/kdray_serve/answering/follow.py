"""Which version answers to which name, followed while the service runs."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kdray.errors import KdrayError
from kdray.spec.service import ServedModel, Service
from kdray_serve.answering.catalogue import Catalogue, Standing
from kdray_serve.meter import Meter, Silent
from kdray_serve.refusal import Refusal
from kdray_serve.schema import Details, Share
from kdray_serve.work import Key

_LOG = logging.getLogger(__name__)


#: Where the spec names a version: ``models.0``, ``models.1``, ..., ``canary``, ``shadow``.
Slot = str


@dataclass(frozen=True)
class Table:
    """What answers to what, at one moment; replaced whole.

    Args:
        slots: Where the spec names a version -> that version, the models first.
        standings: Served name -> its aliases and versions.
        details: What is known of the versions in the slots.
    """

    slots: Mapping[Slot, Key]
    standings: Mapping[str, Standing]
    details: Mapping[Key, Details]

    @property
    def served(self) -> tuple[Key, ...]:
        """The versions of the spec's models, in its order."""
        named = (one for slot, one in self.slots.items() if slot.startswith("models."))
        return tuple(dict.fromkeys(named))

    def first(self, name: str) -> Key | None:
        """Return the version that answers to a name alone; None where the name is not served."""
        return next((one for one in self.slots.values() if one[0] == name), None)


class Follower:
    """Follows the aliases of a service's models.

    A version that an alias has moved to is loaded and warmed up beside the old one, and answers
    from one assignment on; what runs ends on the old one. Where it cannot be used, the old one
    stays, and it is tried again at the next look.

    Args:
        service: Whose models.
        warm: Loads a version; slow.
        meter: Is told of switches, and of those that failed.
        catalogue: Tells of versions.
    """

    def __init__(
        self,
        service: Service,
        warm: Callable[[Key], None],
        meter: Meter | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self._service = service
        self._warm = warm
        self._meter = meter or Silent()
        self.catalogue = catalogue or Catalogue(service)
        self._looking = threading.Lock()
        self._table: Table | None = None
        self.failures: dict[str, str] = {}

    @property
    def table(self) -> Table:
        """What answers to what now.

        Raises:
            Refusal: 503; it was not looked up yet.
        """
        if self._table is None:
            raise Refusal(503, "The models are not loaded yet.", {"Retry-After": "5"})
        return self._table

    @property
    def has_started(self) -> bool:
        """Whether the models are loaded."""
        return self._table is not None

    def look(self) -> dict[str, Any]:
        """Look up the aliases, load what is new, and switch; return what changed.

        The first time, everything has to be there; later, what is not stays as it was.

        Raises:
            KdrayError: The first time: a model is missing or damaged.
        """
        with self._looking:
            if self._table is not None:
                return self._look_again(self._table)
            slots = {slot: self._now(model) for slot, model in self._named()}
            table = self._drawn(slots)
            for one in reversed(list(dict.fromkeys(slots.values()))):
                self._warm(one)  # where memory is short, the first ones stay
            self._table = table
            return {"switched": [], "failed": {}}

    async def follow(self) -> None:
        """Look again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(self._service.refresh_seconds)
            try:
                await asyncio.to_thread(self.look)
            except Exception:  # whatever it is, the next look may find the registry again
                _LOG.exception("the aliases could not be looked up")

    def found(self, text: str) -> Key:
        """Return the version that ``name``, ``name@version`` or ``name@alias`` stands for.

        Any version of a served name can be asked for, such as the one before the present
        champion, to compare them; of other names none.

        Raises:
            Refusal: 404; says what there is.
        """
        table = self.table
        name, at, version = text.partition("@")
        first = table.first(name)
        if first is None:
            there = ", ".join(f"{one[0]}@{one[1]}" for one in table.served)
            raise Refusal(404, f"There is no model {text!r} here. There are: {there}.")
        if not at:
            return first
        standing = table.standings[name]
        number = standing.aliases.get(version)
        if version.isascii() and version.isdigit() and len(version) < 10:
            number = int(version)
        if number not in standing.versions:
            there = ", ".join((*map(str, standing.versions), *standing.aliases))
            problem = f"There is no version or alias {version!r} of {name}."
            raise Refusal(404, f"{problem} There are: {there}.")
        return name, number

    def details(self, wanted: Key) -> Details:
        """Return what is known of a version; reads the registry the first time it is asked for.

        Raises:
            KdrayError: It is not in the registry.
        """
        table = self.table
        known = table.details.get(wanted)
        return known or self.catalogue.details(wanted, table.standings.get(wanted[0]))

    def _look_again(self, old: Table) -> dict[str, Any]:
        failed: dict[str, str] = {}
        slots = dict(old.slots)
        for slot, model in self._named():
            try:
                wanted = self._now(model)
                if wanted != old.slots[slot]:
                    self._warm(wanted)
                slots[slot] = wanted
            except KdrayError as error:
                self._note(failed, model, error)
        try:
            self._table = self._drawn(slots)
        except KdrayError as error:
            self._note(failed, self._service.models[0], error)
            slots = dict(old.slots)
        self.failures = failed
        return {"switched": self._switched(old.slots, slots), "failed": failed}

    def _note(self, failed: dict[str, str], model: ServedModel, error: KdrayError) -> None:
        failed[f"{model.name}@{model.version}"] = str(error)
        self._meter.switch_failed(model.name)
        _LOG.error("%s@%s stays as it is: %s", model.name, model.version, error)

    def _switched(self, old: Mapping[Slot, Key], new: Mapping[Slot, Key]) -> list[dict[str, Any]]:
        changes = []
        for slot, now in new.items():
            if now != old[slot]:
                self._meter.switched(now)
                _LOG.info("%s: %s is now version %s, was %s", slot, *now, old[slot][1])
                changes.append({"slot": slot, "name": now[0], "from": old[slot][1], "to": now[1]})
        return changes

    def _named(self) -> list[tuple[Slot, ServedModel]]:
        """Return where the spec names a version, and what it says there."""
        service = self._service
        named = [(f"models.{place}", model) for place, model in enumerate(service.models)]
        for slot, share in (("canary", service.canary), ("shadow", service.shadow)):
            if share is not None:
                name = share.model or service.models[0].name
                named.append((slot, ServedModel(name=name, version=share.version)))
        return named

    def _now(self, model: ServedModel) -> Key:
        return model.name, self.catalogue.resolve(model.name, model.version)

    def _drawn(self, slots: Mapping[Slot, Key]) -> Table:
        names = dict.fromkeys(name for name, _ in slots.values())
        standings = {name: self.catalogue.standing(name) for name in names}
        details = {
            one: self.catalogue.details(one, standings[one[0]], self._canary_of(one, slots))
            for one in slots.values()
        }
        return Table(slots, standings, details)

    def _canary_of(self, one: Key, slots: Mapping[Slot, Key]) -> Share | None:
        """Return the canary that takes a share of the requests for a version."""
        answering = next(key for key in slots.values() if key[0] == one[0])
        canary = slots.get("canary")
        if self._service.canary is None or canary is None:
            return None
        if canary[0] != one[0] or one != answering:
            return None
        return Share(version=canary[1], percent=self._service.canary.percent)
