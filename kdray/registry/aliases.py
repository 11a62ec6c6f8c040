"""The aliases of a model: names that point at one version, and remember where they pointed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from kdray.errors import RegistryError
from kdray.store import Store

#: The alias of the version that is served unless another is named.
CHAMPION = "champion"

_REMEDY = "Remove the file, and promote a version again."

Seen = tuple[bytes | None, dict[str, Any]]


class Aliases:
    """The aliases in a store; each is one small file that changes whole, or not at all.

    Args:
        store: The registry's storage.
        now: Tells the time.
    """

    def __init__(
        self, store: Store, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._now = now

    def names(self, model: str) -> list[str]:
        """Return the aliases of a model, sorted."""
        files = self._store.list(f"{model}/aliases")
        return [file.removesuffix(".json") for file in files if file.endswith(".json")]

    def read(self, model: str, alias: str) -> Seen:
        """Return the bytes of an alias and what they say; version 0 where there is none.

        Raises:
            RegistryError: It is damaged.
        """
        raw = self._store.read(_file(model, alias))
        if raw is None:
            return None, {"version": 0, "history": []}
        try:
            said = json.loads(raw)
            return raw, {**said, "version": int(said["version"]), "history": [*said["history"]]}
        except (ValueError, TypeError, KeyError) as error:
            where = self._store.called(_file(model, alias))
            raise RegistryError(where, "this alias is damaged.", _REMEDY) from error

    def promote(
        self, model: str, alias: str, version: int, seen: Seen, note: Mapping[str, Any]
    ) -> None:
        """Let an alias point at a version if it still says what ``read`` gave before.

        Args:
            model: Name of the model.
            alias: Its alias.
            version: Number of a version that is there.
            seen: What ``read`` gave.
            note: What its history says besides, such as ``reason``; what is empty is left out.

        Raises:
            RegistryError: Another promotion has moved it meanwhile.
        """
        before, now = seen
        if now["version"] != version:
            history = [*now["history"], now["version"]] if now["version"] else []
            move = self._move("promote", version, note)
            self._write(model, alias, before, _moved(now, version, history, move))

    def rollback(self, model: str, alias: str, reason: str = "") -> int:
        """Let an alias point at the version before; return that version.

        Raises:
            RegistryError: There is nothing before it, or another promotion moved it at the same
                moment.
        """
        before, now = self.read(model, alias)
        if not now["history"]:
            problem = f"the alias {alias!r} has pointed at no other version."
            raise RegistryError(
                self._store.called(model), problem, "Use `kdray registry promote`."
            )
        *history, number = now["history"]
        move = self._move("rollback", number, {"reason": reason})
        self._write(model, alias, before, _moved(now, number, history, move))
        return int(number)

    def history(self, model: str, alias: str) -> list[dict[str, Any]]:
        """Return the moves of an alias, oldest first: ``time``, ``action``, ``version``, ..."""
        return list(self.read(model, alias)[1].get("moves", ()))

    def _move(self, action: str, version: int, note: Mapping[str, Any]) -> dict[str, Any]:
        time = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        said = {key: value for key, value in note.items() if value}
        return {"time": time, "action": action, "version": version, **said}

    def _write(self, model: str, alias: str, before: bytes | None, now: dict[str, Any]) -> None:
        if not self._store.replace(_file(model, alias), before, json.dumps(now).encode()):
            problem = f"someone else moved the alias {alias!r} at the same moment."
            remedy = "Look where it points, and repeat."
            raise RegistryError(self._store.called(model), problem, remedy)


def _file(model: str, alias: str) -> str:
    return f"{model}/aliases/{alias}.json"


def _moved(
    now: dict[str, Any], version: int, history: list[int], move: dict[str, Any]
) -> dict[str, Any]:
    moves = [*now.get("moves", ()), move]
    return {"version": version, "history": history, "moves": moves}
